"""Check that rows are written by one clock in Python and one in Postgres, so that tests can move both. Workflows
have their own clock."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.code.tree import Module, full_names, product, sample

# They write rows. Providers and tokens exchange times with others, who use the machine's time.
BY_THE_CLOCK = {"activities", "dispatch", "storage", "models", "api", "web"}
OWN_TIME = {"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"}
# What a schema that is first on the search path cannot replace: keywords and their functions.
FIXED = re.compile(r"CURRENT_TIMESTAMP|CURRENT_DATE|CURRENT_TIME|LOCALTIME|(?:statement|transaction)_timestamp", re.I)


def other_clocks(module: Module) -> Iterator[str]:
    names = full_names(module) if module.package in BY_THE_CLOCK else []
    for used, name in names:
        if name in OWN_TIME:
            yield f"{module.path}:{used.lineno}: {name}; domain/clock.py says what time it is"
    for node in module.nodes:
        if module.package in BY_THE_CLOCK and isinstance(node, ast.Constant) and FIXED.search(str(node.value)):
            yield f"{module.path}:{node.lineno}: now() or clock_timestamp() in SQL"
        if module.package == "workflows" and isinstance(node, ast.ImportFrom) and node.module == "domain.clock":
            yield f"{module.path}:{node.lineno}: a workflow's time is workflow.now()"


def test_rows_are_written_by_the_two_clocks_that_tests_can_move() -> None:
    assert [line for module in product() for line in other_clocks(module)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("activities/reconciliation.py", "from datetime import UTC, datetime\nat = datetime.now(UTC)"),
        ("api/routes/sends.py", "import datetime\nat = datetime.datetime.now()"),
        ("storage/sends.py", "SEND = 'INSERT INTO t VALUES (current_timestamp)'"),
        ("workflows/waits.py", "from domain.clock import now"),
    ],
)
def test_another_clock_is_found(path: str, source: str) -> None:
    assert len(list(other_clocks(sample(path, source)))) == 1


def test_a_provider_has_the_time_of_its_vendor() -> None:
    source = "from datetime import UTC, datetime\nat = datetime.now(UTC)"
    assert list(other_clocks(sample("providers/twilio.py", source))) == []
