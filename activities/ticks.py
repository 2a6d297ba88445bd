"""Implement `run_tick`: run the scheduled work of a type in batches until nothing is left."""

from collections import Counter
from collections.abc import Mapping

from temporalio import activity

from domain.clock_messages import TickInput, TickOutcome
from services.due_work import DueWork
from storage import ticks
from storage.database import Database


class TickActivities:
    """Run works. `works` maps the names that the outcome counts to the functions, in order."""

    def __init__(self, database: Database, work_by_name: Mapping[str, DueWork]) -> None:
        self._database = database
        self._work_by_name = work_by_name

    @activity.defn
    async def run_tick(self, tick: TickInput) -> TickOutcome:
        """Run all due work. A repeated or late tick finds what is left; a concurrent one finds what is not claimed.
        At the end update how often the tick runs, if at all."""
        done: Counter[str] = Counter()
        for name, work in self._work_by_name.items():
            while count := await work(tick.tenant, tick.notification_type):
                done[name] += count
                activity.heartbeat(sum(done.values()))
        async with self._database.transaction() as session:
            await ticks.update_tick(session, tick.tenant, tick.notification_type)
        return TickOutcome(done=dict(done))
