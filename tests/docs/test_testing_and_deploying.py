"""Test that the examples of these pages are tested elsewhere: the example project, the query for stuck workflows."""

import re

import pytest

from embedded.stack import CHECKOUT
from tests.docs.test_commands import BLOCK, LINK, page
from tests.stories.test_deploys import STUCK_QUERY

EXAMPLE = CHECKOUT / "examples" / "testing"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_documented_tests_are_those_of_the_example() -> None:
    blocks = PYTHON.findall(page("testing"))
    files = [path.read_text() for path in EXAMPLE.glob("*.py")]
    assert len(blocks) == 3
    assert [block for block in blocks if not any(block in text for text in files)] == []


def test_the_only_command_is_the_one_that_runs_the_example() -> None:
    assert BLOCK.findall(page("testing")) == [".venv/bin/pytest examples/testing\n"]


def test_the_documented_query_for_stuck_workflows_is_tested() -> None:
    assert f"`{STUCK_QUERY}`" in page("deploying")


@pytest.mark.parametrize("name", ["testing", "deploying"])
def test_every_link_resolves(name: str) -> None:
    links = LINK.findall(page(name))
    assert links
    assert [link for link in links if not (CHECKOUT / "docs" / link).exists()] == []


def test_every_documented_method_exists() -> None:
    source = (CHECKOUT / "testing" / "tocsin.py").read_text()
    table = page("testing").partition("| `tocsin.…` |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)\(", table.replace("| what", "")))
    assert set(re.findall(r"^    def ([a-z]\w+)\(", source, re.MULTILINE)) == named
