"""Compare the table of providers in the docs with the registry."""

from providers.table import build_table
from tests.code.tree import ROOT


def test_the_page_of_providers_has_the_table_of_the_registry() -> None:
    page = (ROOT / "docs" / "providers.md").read_text()
    assert build_table() in page, "replace the table by the output of: .venv/bin/python -m providers.table"
