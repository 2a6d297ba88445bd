"""Implement `run_tick` and `close_digest`: run the scheduled work of a type, and close a digest window that is due."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.digest_and_tick_messages import DigestCloseInput, DigestCloseResult, TickInput, TickOutcome
from services.tick_work import TickWork
from storage import digest_closing, ticks
from storage.database import Database

RETRY_DELAY = timedelta(seconds=2)  # of a tick whose digests wait for items


class TickActivities:
    """Run the due work of a type. `work_by_name` maps the names that the outcome counts to the functions, in order."""

    def __init__(self, database: Database, work_by_name: Mapping[str, TickWork]) -> None:
        self._database = database
        self._work_by_name = work_by_name

    @activity.defn
    async def run_tick(self, tick: TickInput) -> TickOutcome:
        """Run all due work. A repeated or late tick finds what is left; a concurrent one finds what is not claimed. At
        the end set how often the tick runs from now on, or end it."""
        try:
            done = await self._run_work(tick)
        except digest_closing.ItemsNotCollected as error:
            raise ApplicationError(
                str(error), category=ApplicationErrorCategory.BENIGN, next_retry_delay=RETRY_DELAY
            ) from error
        async with self._database.transaction() as session:
            await ticks.update_tick(session, tick.tenant, tick.notification_type)
        return TickOutcome(done=dict(done))

    async def _run_work(self, tick: TickInput) -> Counter[str]:
        """Return how much was done, by the name of the work."""
        done: Counter[str] = Counter()
        for name, work in self._work_by_name.items():
            while count := await work(tick.tenant, tick.notification_type):
                done[name] += count
                activity.heartbeat(sum(done.values()))
        return done


class DigestActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def close_digest(self, request: DigestCloseInput) -> DigestCloseResult:
        """Close the window by the database clock. Idempotent: a window and its notification are written once,
        together."""
        async with self._database.transaction() as session:
            return DigestCloseResult(
                closes_at=await digest_closing.close_group(session, request.tenant, request.digest_key)
            )
