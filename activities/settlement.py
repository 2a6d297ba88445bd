"""`settle`: writes the ends that no provider call writes: given up, skipped, cancelled, expired, internal."""

from datetime import UTC, datetime

from temporalio import activity

from domain.ledger import close_delivery, finish, overall
from domain.messages import NotificationOutcome, SettleInput
from domain.records import Ledger, Verdict
from domain.statuses import NotificationStatus
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
            after = await amend(session, key, lambda ledger: settled(ledger, end, datetime.now(UTC)))
        return NotificationOutcome(status=after.status, reason=after.failure_reason)


def settled(ledger: Ledger, end: SettleInput, at: datetime) -> Ledger:
    if ledger.generation != end.generation or ledger.finished_at is not None:
        return ledger
    for closed in end.ends:
        if closed.delivery_id in ledger.deliveries:
            verdict = Verdict(status=closed.status, reason=closed.reason)
            ledger = close_delivery(ledger, closed.delivery_id, verdict, at)
    if end.verdict is None and overall(ledger)[0] is None:
        return ledger  # the next step may try
    if ledger.cancel_requested_at is not None:
        return finish(ledger, at, NotificationStatus.CANCELED, "canceled")
    return finish(ledger, at, end.verdict or NotificationStatus.FAILED, end.reason)
