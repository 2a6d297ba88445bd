"""Apply receipts of many notifications in some orders. `make faults` uses five hundred in twenty."""

import pytest

from domain import proven_statuses
from faults.permutations import differences

pytestmark = pytest.mark.postgres


async def test_in_any_order_and_repeated_receipts_come_to_the_same_rows(database_url: str) -> None:
    assert await differences(database_url, count=8, permutations=3, seed=3) == []


async def test_an_order_that_matters_is_noticed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the latest evidence win instead of the strongest."""
    monkeypatch.setattr(proven_statuses, "strongest_evidence", lambda known, new: new)
    assert await differences(database_url, count=8, permutations=3, seed=3) != []
