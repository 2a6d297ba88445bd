"""`settle` writes the ends that no provider call writes: given up, skipped, cancelled, expired, internal; `check_step`
says how far a step has come that waits for its goal."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from domain.clock import now
from domain.goal_messages import CheckInput, Standing, StepStanding
from domain.ledger import close_delivery, finish
from domain.messages import NotificationOutcome, SettleInput
from domain.overview import ARRIVED, overall
from domain.reasons import Reason
from domain.records import Ledger, Verdict
from domain.statuses import NotificationStatus
from domain.steps import escalate, open_wait, standing
from storage.claims import forget_wait, wait_until
from storage.database import Database
from storage.ledgers import Key, amend


class Settlement:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def settle(self, end: SettleInput) -> NotificationOutcome:
        """Safe to run twice, and for a row that is final or of a later generation: then it only answers."""
        key = Key(notification_id=end.notification_id, tenant=end.tenant)
        async with self._database.transaction() as session:
            after = await amend(session, key, lambda ledger: settled(ledger, end, now()))
        if after.finished_at is None and end.step is not None and not _arrived(after, end):
            return NotificationOutcome(status=NotificationStatus.PENDING)
        return NotificationOutcome(status=after.status, reason=after.failure_reason)

    @activity.defn
    async def check_step(self, asked: CheckInput) -> StepStanding:
        """While it waits, whoever brings the goal is to wake the workflow: also where the acceptance was told by a
        receipt or found by asking. With `over` the wait ends here: an escalation is written into the timeline, once.
        After a redrive there is nothing left to wait for."""
        key = Key(notification_id=asked.notification_id, tenant=asked.tenant)
        at = now()

        def change(ledger: Ledger) -> Ledger:
            mine = ledger.generation == asked.generation and ledger.finished_at is None
            if not mine or standing(ledger, asked.step, asked.goal) is not Standing.WAITING:
                return ledger
            if not asked.over:
                return open_wait(ledger, asked.step, asked.goal)
            canceled = ledger.cancel_requested_at is not None
            return ledger if canceled else escalate(ledger, asked.step, asked.goal, at)

        async with self._database.transaction() as session:
            after = await amend(session, key, change)
            if asked.queued is not None and after.generation == asked.generation:
                await self._queue_wait(session, asked, after)
        if after.generation != asked.generation:
            return StepStanding(standing=Standing.REACHED)
        return StepStanding(standing=standing(after, asked.step, asked.goal))

    @staticmethod
    async def _queue_wait(session: AsyncSession, asked: CheckInput, after: Ledger) -> None:
        """What waits no longer must not be resumed later on: that would take a slot for a workflow that needs none."""
        key = asked.notification_id, asked.generation
        if asked.queued is not None and not asked.over and standing(after, asked.step, asked.goal) is Standing.WAITING:
            await wait_until(session, *key, asked.queued)
        else:
            await forget_wait(session, *key)


def settled(ledger: Ledger, end: SettleInput, at: datetime) -> Ledger:
    if ledger.generation != end.generation or ledger.finished_at is not None:
        return ledger
    for closed in end.ends:
        if closed.delivery_id in ledger.deliveries:
            verdict = Verdict(status=closed.status, reason=Reason(closed.reason, closed.args))
            ledger = close_delivery(ledger, closed.delivery_id, verdict, at)
    if end.waits_for is not None and end.step is not None:
        return open_wait(ledger, end.step, end.waits_for)
    if end.verdict is None and (end.beside or not _arrived(ledger, end)):
        return ledger  # the next step may try
    if ledger.cancel_requested_at is not None:
        return finish(ledger, at, NotificationStatus.CANCELED, Reason("canceled"))
    reason = None if end.reason is None else Reason(end.reason)
    return finish(ledger, at, end.verdict or NotificationStatus.FAILED, reason)


def _arrived(ledger: Ledger, end: SettleInput) -> bool:
    """The step itself, after all; an earlier one may have been sent and not have got as far as it should. Workflows of
    old do not say which step it is: they had none that was for more."""
    if end.step is None:
        return overall(ledger)[0] is not None
    return any(d.step == end.step and d.status in ARRIVED for d in ledger.deliveries.values())
