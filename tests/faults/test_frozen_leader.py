"""Stop the leader: another process leads within five seconds and stays the leader."""

import time
from contextlib import ExitStack
from uuid import UUID

import pytest

from faults.servers import Servers
from faults.stack_database import StackDatabase
from faults.stack_process import StackProcess
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

HOLDER = "SELECT holder FROM lease WHERE name = 'leader'"
RENEWED = "SELECT extract(epoch FROM expires_at) FROM lease WHERE name = 'leader'"
TAKEOVER_TIMEOUT = 5.0
SLACK = 2.0


async def leads(stack_database: StackDatabase, part: StackProcess) -> bool:
    """Return whether this frozen process renewed the lease: without it the lease is not renewed."""
    before = await stack_database.one(RENEWED)

    async def seconds_past() -> float:
        return float(await stack_database.one(f"SELECT extract(epoch FROM clock_timestamp()) - {before}"))

    async def renewed() -> bool:
        return bool(await stack_database.one(RENEWED) != before)

    await eventually(seconds_past, lambda seconds: seconds > -1)
    return not await renewed()


async def test_a_frozen_leader_is_replaced_and_does_not_lead_after_resuming(
    servers: Servers, stack_database: StackDatabase
) -> None:
    async def holder() -> UUID | None:
        found: UUID | None = await stack_database.one(HOLDER)
        return found

    first = await eventually(holder, lambda id: id is not None)
    with ExitStack() as thawed:
        for part in (servers.processes["api"], *servers.workers):
            frozen_at = time.monotonic()
            thawed.enter_context(part.frozen())
            if await leads(stack_database, part):
                break
            thawed.pop_all().close()
        second = await eventually(holder, lambda id: id not in (None, first), within=TAKEOVER_TIMEOUT + SLACK)
        assert time.monotonic() - frozen_at < TAKEOVER_TIMEOUT + SLACK
    thawed_at = await stack_database.one(RENEWED)
    await eventually(lambda: stack_database.one(RENEWED), lambda until: until > thawed_at + 3)
    assert await holder() == second
