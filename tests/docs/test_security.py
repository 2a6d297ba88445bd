"""Test that the tests named in SECURITY.md exist."""

import re

from tests.code.tree import ROOT


def test_every_test_of_a_control_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []
