"""Compare the tables of providers in the docs with the registry."""

import shutil
from pathlib import Path

import pytest

from providers.table import build_tables, write_tables
from tests.code.tree import ROOT

TABLES = build_tables()


@pytest.mark.parametrize("page", TABLES)
def test_a_page_has_the_table_of_the_registry(page: str) -> None:
    assert f"{TABLES[page]}\n\n" in (ROOT / page).read_text(), "run: .venv/bin/python -m providers.table"


@pytest.mark.parametrize("page", TABLES)
def test_an_old_table_is_replaced(page: str, tmp_path: Path) -> None:
    for path in TABLES:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    current = (tmp_path / page).read_text()
    (tmp_path / page).write_text(current.replace(TABLES[page], "\n".join(TABLES[page].splitlines()[:-1])))
    write_tables(tmp_path)
    assert (tmp_path / page).read_text() == current
