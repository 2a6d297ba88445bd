"""Write the ends that no provider call writes to a ledger. Used by the activity `settle`."""

from datetime import datetime

from domain.ledger import close_delivery, finish_notification
from domain.notification_overview import ARRIVED_STATUSES, overall_status
from domain.reasons import Reason
from domain.records import DeliveryDecision, Ledger
from domain.settlement_messages import SettleInput
from domain.statuses import NotificationStatus
from domain.step_goals import start_waiting


def settle_ledger(ledger: Ledger, end: SettleInput, at: datetime) -> Ledger:
    if ledger.generation != end.generation or ledger.finished_at is not None:
        return ledger
    for closed in end.ends:
        if closed.delivery_id in ledger.deliveries:
            decision = DeliveryDecision(status=closed.status, reason=Reason(closed.reason, closed.args))
            ledger = close_delivery(ledger, closed.delivery_id, decision, at)
    if end.waits_for is not None and end.step is not None:
        return start_waiting(ledger, end.step, end.waits_for)
    if end.verdict is None and (end.has_always_step or not has_step_arrived(ledger, end)):
        return ledger  # the next step may try
    if ledger.cancel_requested_at is not None:
        return finish_notification(ledger, at, NotificationStatus.CANCELED, Reason("canceled"))
    reason = None if end.reason is None else Reason(end.reason)
    return finish_notification(ledger, at, end.verdict or NotificationStatus.FAILED, reason)


def has_step_arrived(ledger: Ledger, end: SettleInput) -> bool:
    """Return whether the step has arrived after all. An earlier step may have been sent and missed its goal."""
    if end.step is None:
        return overall_status(ledger)[0] is not None
    return any(d.step == end.step and d.status in ARRIVED_STATUSES for d in ledger.deliveries.values())
