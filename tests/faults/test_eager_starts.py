"""A worker process is killed with -9 while it has the first tasks of fifty workflows, handed to it with their starts.

The limit is that of a machine with nothing else to do. The same sends without a fault measure how slow this one is.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.books import Books
from tests.faults.crowd import Crowd, Sent, open_crowd
from tests.faults.invariants import broken
from tests.faults.kinds import ASK_TEXT
from tests.faults.latency import sent_after
from tests.faults.part import Part
from tests.faults.servers import Servers, serving
from tests.faults.urgent import URGENT

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

ORDINARY = replace(ASK_TEXT, key="ordinary", more={**ASK_TEXT.more, "give_up_after": "1h"})
URGENT_SENDS, ORDINARY_SENDS = 16, 48
STARTS = 50
# Of the worker that is killed: more slots than it is to lose, and a connection for each of their first tasks.
SETTINGS = {"worker-1": {"SLOTS": "70", "DATABASE_POOL": "96"}}
URGENT_WITHIN = 10.0
# Until the last urgent one of them is SENT, on a machine for which the limit is meant.
USUAL = 1.0
HELD_WITHIN = 30.0
ENDED_WITHIN = 240.0
SLOTS_OF = "SELECT count(*) FROM queue_entry q JOIN process p ON p.id = q.claimed_by WHERE p.pid = $1"
OPEN = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL"
CALLS = """
SELECT count(*) AS calls, count(DISTINCT notification_id) AS notifications FROM attempt
 WHERE notification_id::text = ANY($1)
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    servers: Servers
    books: Books
    crowd: Crowd

    async def send(self) -> tuple[list[str], list[str]]:
        """The ids of the urgent ones and of all, which are accepted at the same moment."""
        urgent: list[Sent] = await self.crowd.batch(URGENT_SENDS, URGENT)
        ordinary = await self.crowd.batch(ORDINARY_SENDS, ORDINARY)
        return [each.id for each in urgent], [each.id for each in (*urgent, *ordinary)]

    async def seconds_until_sent(self, ids: list[str], since: float) -> float:
        return max(await sent_after(self.books, dict.fromkeys(ids, since), ENDED_WITHIN))

    async def holds_starts(self, part: Part) -> None:
        """Until the first tasks of so many workflows of this process are under way: each waits to write its rows."""

        async def enough() -> bool:
            return int(await self.books.one(SLOTS_OF, part.process.pid)) >= STARTS

        await self.books.until_true(enough, HELD_WITHIN)
        await self.books.waiting("delivery", STARTS, within=HELD_WITHIN)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with serving(tmp_path / "data", settings=SETTINGS) as servers, open_crowd(servers) as crowd:
        for kind in (URGENT, ORDINARY):
            await crowd.tenants[0].add(kind)
        books = Books(servers.info.database_url)
        yield Stage(servers=servers, books=books, crowd=crowd)
        await books.close()


async def test_fifty_starts_of_a_killed_worker_end_once_and_the_urgent_ones_in_seconds(stage: Stage) -> None:
    killed, _ = stage.servers.workers
    slowness = max(1.0, await _undisturbed(stage) / USUAL)
    async with stage.books.locked("delivery"):
        urgent, everything = await stage.send()
        await stage.holds_starts(killed)
        await killed.kill()
        killed_at = time.time()
    assert await stage.seconds_until_sent(urgent, killed_at) < URGENT_WITHIN * slowness
    await stage.books.until(OPEN, everything, is_=0, within=ENDED_WITHIN)
    [row] = await stage.books.rows(CALLS, everything)
    assert (row["calls"], row["notifications"]) == (len(everything), len(everything))
    assert await broken(stage.books.rows, stage.servers.desk.books()) == {}


async def _undisturbed(stage: Stage) -> float:
    """Seconds until the last urgent one is SENT."""
    began = time.time()
    urgent, everything = await stage.send()
    seconds = await stage.seconds_until_sent(urgent, began)
    await stage.books.until(OPEN, everything, is_=0, within=ENDED_WITHIN)
    return seconds
