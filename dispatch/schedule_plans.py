"""Plans the turns of schedules with many recipients, batch by batch. Run by the dispatcher that leads."""

from activities.recurring import Recurring
from domain.schedules import PEOPLE_AT_ONCE
from storage import schedule_plans
from storage.database import Database

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
# At least as many recipients as one batch plans.
OVERDUE_ROUNDS = -(-schedule_plans.BATCH_SIZE // PEOPLE_AT_ONCE)


class SchedulePlans:
    def __init__(self, database: Database, recurring: Recurring) -> None:
        self._database = database
        self._recurring = recurring

    async def plan(self) -> float:
        """Plan one batch and run its overdue turns, since the next tick may be 15 minutes away."""
        async with self._database.transaction() as session:
            batch = await schedule_plans.continue_batch(session)
        if batch is None:
            return LOOK_AGAIN
        for _ in range(OVERDUE_ROUNDS if batch.has_overdue else 0):
            if not await self._recurring.own_turns(batch.tenant, batch.notification_type):
                break
        return 0.0
