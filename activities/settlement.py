"""Implement `settle`, which writes the ends that no provider call writes (retries exhausted, skipped, canceled,
expired, internal), and `check_step`, which returns how far a step that waits for its goal has come."""

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from domain.clock import now
from domain.goal_messages import GoalCheckInput, GoalCheckResult, GoalState
from domain.messages import NotificationOutcome
from domain.records import Ledger
from domain.settlement_messages import SettleInput
from domain.settlements import has_step_arrived, settle_ledger
from domain.statuses import NotificationStatus
from domain.step_goals import escalate_step, goal_state, start_waiting
from storage.claims import clear_wait, set_wait
from storage.database import Database
from storage.ledgers import NotificationRef, amend


class SettlementActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def settle(self, end: SettleInput) -> NotificationOutcome:
        """Write the results. Idempotent: only return the outcome of a row that is final or of a later generation."""
        ref = NotificationRef(notification_id=end.notification_id, tenant=end.tenant)
        async with self._database.transaction() as session:
            after = await amend(session, ref, lambda ledger: settle_ledger(ledger, end, now()))
        if after.finished_at is None and end.step is not None and not has_step_arrived(after, end):
            return NotificationOutcome(status=NotificationStatus.PENDING)
        return NotificationOutcome(status=after.status, reason=after.failure_reason)

    @activity.defn
    async def check_step(self, check: GoalCheckInput) -> GoalCheckResult:
        """Return the state of the goal, and mark the delivery so that new evidence wakes the workflow, also if a
        receipt or a lookup reported the acceptance. With `stopped` the wait ends here: record the escalation in the
        timeline, once. After a redrive there is nothing to wait for."""
        ref = NotificationRef(notification_id=check.notification_id, tenant=check.tenant)
        at = now()

        def change(ledger: Ledger) -> Ledger:
            is_current = ledger.generation == check.generation and ledger.finished_at is None
            if not is_current or goal_state(ledger, check.step, check.goal) is not GoalState.WAITING:
                return ledger
            if not check.stopped:
                return start_waiting(ledger, check.step, check.goal)
            canceled = ledger.cancel_requested_at is not None
            return ledger if canceled else escalate_step(ledger, check.step, check.goal, at)

        async with self._database.transaction() as session:
            after = await amend(session, ref, change)
            if check.queued is not None and after.generation == check.generation:
                await self._queue_wait(session, check, after)
        if after.generation != check.generation:
            return GoalCheckResult(goal_state=GoalState.REACHED)
        return GoalCheckResult(goal_state=goal_state(after, check.step, check.goal))

    @staticmethod
    async def _queue_wait(session: AsyncSession, check: GoalCheckInput, after: Ledger) -> None:
        """Queue the end of the wait, or dequeue it: a resume after the wait would take a slot without need."""
        key = check.notification_id, check.generation
        if (
            check.queued is not None
            and not check.stopped
            and goal_state(after, check.step, check.goal) is GoalState.WAITING
        ):
            await set_wait(session, *key, check.queued)
        else:
            await clear_wait(session, *key)
