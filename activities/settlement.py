"""Implement `settle`, which writes the ends that no provider call writes (retries exhausted, skipped, canceled,
expired, internal), and `check_step`, which returns how far a step that waits for its goal has come."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from domain.clock import now
from domain.goal_messages import GoalCheckInput, GoalCheckResult, GoalState
from domain.ledger import close_delivery, finish_notification
from domain.messages import NotificationOutcome
from domain.overview import ARRIVED_STATUSES, overall_status
from domain.reasons import Reason
from domain.records import Ledger, Verdict
from domain.settlement_messages import SettleInput
from domain.statuses import NotificationStatus
from domain.steps import escalate_step, goal_state, start_waiting
from storage.claims import clear_wait, set_wait
from storage.database import Database
from storage.ledgers import NotificationRef, amend


class SettlementActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def settle(self, end: SettleInput) -> NotificationOutcome:
        """Write the ends. Idempotent; only return the outcome of a row that is final or of a later generation."""
        key = NotificationRef(notification_id=end.notification_id, tenant=end.tenant)
        async with self._database.transaction() as session:
            after = await amend(session, key, lambda ledger: settled(ledger, end, now()))
        if after.finished_at is None and end.step is not None and not _has_arrived(after, end):
            return NotificationOutcome(status=NotificationStatus.PENDING)
        return NotificationOutcome(status=after.status, reason=after.failure_reason)

    @activity.defn
    async def check_step(self, check: GoalCheckInput) -> GoalCheckResult:
        """Return the state of the goal, and mark the delivery so that new evidence wakes the workflow, also if a
        receipt or a lookup reported the acceptance. With `stopped` the wait ends here: record the escalation in the
        timeline, once. After a redrive there is nothing to wait for."""
        key = NotificationRef(notification_id=check.notification_id, tenant=check.tenant)
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
            after = await amend(session, key, change)
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


def settled(ledger: Ledger, end: SettleInput, at: datetime) -> Ledger:
    if ledger.generation != end.generation or ledger.finished_at is not None:
        return ledger
    for closed in end.ends:
        if closed.delivery_id in ledger.deliveries:
            verdict = Verdict(status=closed.status, reason=Reason(closed.reason, closed.args))
            ledger = close_delivery(ledger, closed.delivery_id, verdict, at)
    if end.waits_for is not None and end.step is not None:
        return start_waiting(ledger, end.step, end.waits_for)
    if end.verdict is None and (end.has_always_step or not _has_arrived(ledger, end)):
        return ledger  # the next step may try
    if ledger.cancel_requested_at is not None:
        return finish_notification(ledger, at, NotificationStatus.CANCELED, Reason("canceled"))
    reason = None if end.reason is None else Reason(end.reason)
    return finish_notification(ledger, at, end.verdict or NotificationStatus.FAILED, reason)


def _has_arrived(ledger: Ledger, end: SettleInput) -> bool:
    """Return whether the step has arrived after all. An earlier step may have been sent and missed its goal."""
    if end.step is None:
        return overall_status(ledger)[0] is not None
    return any(d.step == end.step and d.status in ARRIVED_STATUSES for d in ledger.deliveries.values())
