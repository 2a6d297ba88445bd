"""The process that leads is stopped: another one leads within five seconds, and goes on to lead."""

import time
from contextlib import ExitStack
from uuid import UUID

import pytest

from tests.faults.books import Books
from tests.faults.part import Part
from tests.faults.servers import Servers
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

HOLDER = "SELECT holder FROM lease WHERE name = 'leader'"
RENEWED = "SELECT extract(epoch FROM until) FROM lease WHERE name = 'leader'"
TAKEN_OVER_WITHIN = 5.0
SLACK = 2.0


async def leads(books: Books, part: Part) -> bool:
    """Whether it is this frozen process that has renewed the lease: without it the lease is not renewed."""
    before = await books.one(RENEWED)

    async def seconds_past() -> float:
        return float(await books.one(f"SELECT extract(epoch FROM clock_timestamp()) - {before}"))

    async def renewed() -> bool:
        return bool(await books.one(RENEWED) != before)

    await eventually(seconds_past, lambda seconds: seconds > -1)
    return not await renewed()


async def test_a_frozen_leader_is_replaced_and_does_not_lead_when_it_goes_on(servers: Servers, books: Books) -> None:
    async def holder() -> UUID | None:
        found: UUID | None = await books.one(HOLDER)
        return found

    first = await eventually(holder, lambda id: id is not None)
    with ExitStack() as thawed:
        for part in (servers.parts["api"], *servers.workers):
            frozen_at = time.monotonic()
            thawed.enter_context(part.frozen())
            if await leads(books, part):
                break
            thawed.pop_all().close()
        second = await eventually(holder, lambda id: id not in (None, first), within=TAKEN_OVER_WITHIN + SLACK)
        assert time.monotonic() - frozen_at < TAKEN_OVER_WITHIN + SLACK
    thawed_at = await books.one(RENEWED)
    await eventually(lambda: books.one(RENEWED), lambda until: until > thawed_at + 3)
    assert await holder() == second
