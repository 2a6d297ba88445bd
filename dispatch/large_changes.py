"""Finish in batches what a request began and what concerns many rows: erasures, changed settings, plans of schedules.
Run by the leader."""

from dispatch.background_loops import RECOVERABLE_ERRORS
from domain.schedules import MAX_BATCH_RECIPIENTS
from services.recurring_sends import RecurringSends
from storage import erasures, reconsiderations, schedules
from storage.database import Database

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
ERASURE_PAUSE = 0.05  # seconds between two batches
RECONSIDERATION_BATCH_SIZE = 500
# At least as many recipients as one batch plans.
MAX_OVERDUE_ROUNDS = -(-schedules.BATCH_SIZE // MAX_BATCH_RECIPIENTS)


class LargeChangeTasks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await erasures.erase_next_batch(session)
        except RECOVERABLE_ERRORS:
            async with self._database.transaction() as session:
                await erasures.postpone_failed(session)
            raise
        return ERASURE_PAUSE if has_more else POLL_INTERVAL

    async def reconsider(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await reconsiderations.reconsider_batch(session, RECONSIDERATION_BATCH_SIZE)
        except RECOVERABLE_ERRORS:
            async with self._database.transaction() as session:
                await reconsiderations.postpone_failed(session)
            raise
        return 0.0 if has_more else POLL_INTERVAL


class SchedulePlanTask:
    def __init__(self, database: Database, recurring: RecurringSends) -> None:
        self._database = database
        self._recurring = recurring

    async def plan_batch(self) -> float:
        """Plan one batch and run its overdue occurrences, since the next tick may be 15 minutes away."""
        async with self._database.transaction() as session:
            batch = await schedules.plan_next_batch(session)
        if batch is None:
            return POLL_INTERVAL
        for _ in range(MAX_OVERDUE_ROUNDS if batch.has_overdue else 0):
            if not await self._recurring.run_recipient_occurrences(batch.tenant, batch.notification_type):
                break
        return 0.0
