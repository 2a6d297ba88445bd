"""`run_tick`: everything of a type that is due by the calendar, in chunks, until nothing is left."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from temporalio import activity

from domain.clock_messages import TickInput, TickOutcome
from storage import ticks
from storage.database import Database

# One chunk of it, in a transaction of its own; how much was due, 0 when nothing is any more.
DueWork = Callable[[UUID, str], Awaitable[int]]


class TickActivities:
    """`works` by the name under which the outcome counts them, in the order in which they are done."""

    def __init__(self, database: Database, work_by_name: Mapping[str, DueWork]) -> None:
        self._database = database
        self._work_by_name = work_by_name

    @activity.defn
    async def run_tick(self, tick: TickInput) -> TickOutcome:
        """A repeated or late one finds what is left to do, and a second one beside it what nobody has claimed.
        At the end it is told how often it is to tick from now on, if at all."""
        done: Counter[str] = Counter()
        for name, work in self._work_by_name.items():
            while count := await work(tick.tenant, tick.notification_type):
                done[name] += count
                activity.heartbeat(sum(done.values()))
        async with self._database.transaction() as session:
            await ticks.update_tick(session, tick.tenant, tick.notification_type)
        return TickOutcome(done=dict(done))
