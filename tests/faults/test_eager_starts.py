"""Kill a worker process with -9 that has the first tasks of fifty workflows, received with their starts.

The limit is that of an idle machine. The same sends without a fault measure how slow this one is.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from faults.invariants import broken
from faults.latency import seconds_until_sent
from faults.load_generator import GeneratedSend, LoadGenerator, open_load_generator
from faults.servers import Servers, running_servers
from faults.stack_database import StackDatabase
from faults.stack_process import StackProcess
from faults.type_specs import RECONCILE_SMS
from faults.urgent_sends import URGENT

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

ORDINARY = replace(RECONCILE_SMS, key="ordinary", more={**RECONCILE_SMS.more, "give_up_after": "1h"})
URGENT_SENDS, ORDINARY_SENDS = 16, 48
STARTS = 50
# Of the worker to kill: more slots than it must lose, and a connection for each of their first tasks.
SETTINGS = {"worker-1": {"SLOTS": "70", "DATABASE_POOL": "96"}}
URGENT_TIMEOUT = 10.0
# Until the last urgent one is SENT, on an idle machine.
USUAL = 1.0
HOLD_TIMEOUT = 30.0
END_TIMEOUT = 240.0
SLOTS_OF = "SELECT count(*) FROM queue_entry q JOIN process p ON p.id = q.claimed_by WHERE p.pid = $1"
OPEN = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL"
CALLS = """
SELECT count(*) AS calls, count(DISTINCT notification_id) AS notifications FROM attempt
 WHERE notification_id::text = ANY($1)
"""


@dataclass(frozen=True, kw_only=True)
class EagerStartStack:
    servers: Servers
    stack_database: StackDatabase
    load_generator: LoadGenerator

    async def send(self) -> tuple[list[str], list[str]]:
        """Accept all at the same moment. Return the ids of the urgent ones and of all."""
        urgent: list[GeneratedSend] = await self.load_generator.batch(URGENT_SENDS, URGENT)
        ordinary = await self.load_generator.batch(ORDINARY_SENDS, ORDINARY)
        return [each.id for each in urgent], [each.id for each in (*urgent, *ordinary)]

    async def seconds_until_sent(self, ids: list[str], since: float) -> float:
        return max(await seconds_until_sent(self.stack_database, dict.fromkeys(ids, since), END_TIMEOUT))

    async def holds_starts(self, part: StackProcess) -> None:
        """Wait until the first tasks of this many workflows are in flight: each waits to write its rows."""

        async def enough() -> bool:
            return int(await self.stack_database.one(SLOTS_OF, part.process.pid)) >= STARTS

        await self.stack_database.until_true(enough, HOLD_TIMEOUT)
        await self.stack_database.waiting("delivery", STARTS, within=HOLD_TIMEOUT)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[EagerStartStack]:
    async with (
        running_servers(tmp_path / "data", settings=SETTINGS) as servers,
        open_load_generator(servers) as load_generator,
    ):
        for type_spec in (URGENT, ORDINARY):
            await load_generator.tenants[0].add(type_spec)
        stack_database = StackDatabase(servers.info.database_url)
        yield EagerStartStack(servers=servers, stack_database=stack_database, load_generator=load_generator)
        await stack_database.close()


async def test_fifty_starts_of_a_killed_worker_end_once_and_urgent_ones_quickly(stack: EagerStartStack) -> None:
    killed, _ = stack.servers.workers
    slowness = max(1.0, await _undisturbed(stack) / USUAL)
    async with stack.stack_database.locked("delivery"):
        urgent, everything = await stack.send()
        await stack.holds_starts(killed)
        await killed.kill()
        killed_at = time.time()
    assert await stack.seconds_until_sent(urgent, killed_at) < URGENT_TIMEOUT * slowness
    await stack.stack_database.until(OPEN, everything, is_=0, within=END_TIMEOUT)
    [row] = await stack.stack_database.rows(CALLS, everything)
    assert (row["calls"], row["notifications"]) == (len(everything), len(everything))
    assert await broken(stack.stack_database.rows, stack.servers.vendor_control.calls_and_messages()) == {}


async def _undisturbed(stack: EagerStartStack) -> float:
    """Return the seconds until the last urgent one is SENT."""
    began = time.time()
    urgent, everything = await stack.send()
    seconds = await stack.seconds_until_sent(urgent, began)
    await stack.stack_database.until(OPEN, everything, is_=0, within=END_TIMEOUT)
    return seconds
