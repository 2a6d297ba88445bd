"""A backlog of bulk messages at the start rate of `make run`: it waits in Postgres, and urgent ones pass it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.conftest import Stage, set_stage
from tests.faults.running import running

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BULK = 500
URGENT = 5
# The sandbox's own order of what it took after the first urgent one was accepted.
PLACES = """
SELECT place FROM (
  SELECT m.notification_id::text AS id, row_number() OVER (ORDER BY m.accepted_at, m.id) AS place
    FROM sandbox_message m
   WHERE m.accepted_at > (SELECT min(created_at) FROM notification WHERE id::text = ANY($1))) later
 WHERE id = ANY($1) ORDER BY place
"""
SECONDS = "SELECT extract(epoch FROM max(accepted_at) - min(accepted_at)) FROM sandbox_message"


@pytest.fixture
async def paced(tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(tmp_path / "data") as run, set_stage(run) as stage:
        yield stage


async def test_urgent_messages_overtake_a_draining_backlog_of_bulk(paced: Stage) -> None:
    bulk = await paced.customer.batch(BULK, "bulk", priority=5)
    await paced.in_the_middle(bulk, 50)
    urgent = [await paced.customer.sent(f"urgent-{number}", priority=1) for number in range(URGENT)]
    await paced.books.until(
        "SELECT count(*) FROM sandbox_message WHERE notification_id::text = ANY($1)", urgent, is_=5, within=10
    )
    places = [row["place"] for row in await paced.books.rows(PLACES, urgent)]
    assert len(places) == URGENT
    assert max(places) <= 20
    assert await paced.books.sent(bulk) < BULK / 2
    statuses = await paced.over(bulk + urgent)
    assert set(statuses.values()) == {"DELIVERED"}
    assert float(await paced.books.one(SECONDS)) > (BULK - 60) / 25
