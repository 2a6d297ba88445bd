"""Plan the occurrences of schedules with many recipients in batches. Run by the leader."""

from domain.schedules import MAX_BATCH_RECIPIENTS
from services.recurring_sends import RecurringSends
from storage import schedule_plans
from storage.database import Database

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
# At least as many recipients as one batch plans.
MAX_OVERDUE_ROUNDS = -(-schedule_plans.BATCH_SIZE // MAX_BATCH_RECIPIENTS)


class SchedulePlanTask:
    def __init__(self, database: Database, recurring: RecurringSends) -> None:
        self._database = database
        self._recurring = recurring

    async def plan_batch(self) -> float:
        """Plan one batch and run its overdue occurrences, since the next tick may be 15 minutes away."""
        async with self._database.transaction() as session:
            batch = await schedule_plans.plan_next_batch(session)
        if batch is None:
            return POLL_INTERVAL
        for _ in range(MAX_OVERDUE_ROUNDS if batch.has_overdue else 0):
            if not await self._recurring.run_recipient_occurrences(batch.tenant, batch.notification_type):
                break
        return 0.0
