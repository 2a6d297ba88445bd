"""Cancel a notification: stop what has not been sent, and return a result for each channel."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from domain.channels import Channel
from domain.evidence import AttemptState
from domain.ledger import OPEN_STATUSES, close_delivery, finish_notification
from domain.reasons import Reason
from domain.records import DeliveryDecision, DeliveryRecord, Ledger
from domain.statuses import DeliveryStatus, NotificationStatus


class CancelResult(StrEnum):
    STOPPED = "stopped"
    ALREADY_SENT = "already_sent"
    IN_DOUBT = "in_doubt"


RESULT_RANK = {CancelResult.STOPPED: 0, CancelResult.IN_DOUBT: 1, CancelResult.ALREADY_SENT: 2}
SENT_STATUSES = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.OPENED)
CANCELED_DECISION = DeliveryDecision(status=DeliveryStatus.CANCELED, reason=Reason("canceled"))


def cancel_notification(ledger: Ledger, at: datetime) -> Ledger:
    """Close the deliveries without a provider call. The outcome of a call in progress decides, and `deliver` obeys
    the request before any further call."""
    if ledger.finished_at is not None:
        return ledger
    ledger = replace(ledger, cancel_requested_at=ledger.cancel_requested_at or at)
    for delivery in list(ledger.deliveries.values()):
        if delivery.status in OPEN_STATUSES and not _has_call_in_flight(ledger, delivery):
            ledger = close_delivery(ledger, delivery.id, CANCELED_DECISION, at)
    if any(delivery.status in OPEN_STATUSES for delivery in ledger.deliveries.values()):
        return ledger
    return finish_notification(ledger, at, NotificationStatus.CANCELED, CANCELED_DECISION.reason)


def cancel_results(ledger: Ledger, route: list[Channel], digest: Ledger | None = None) -> dict[Channel, CancelResult]:
    """Return the result per channel: the one that is closest to sent over its deliveries. Before resolution use the
    channels of the route. `digest` is the digest of an item: while it is open, it may arrive by each of them."""
    deliveries = [*ledger.deliveries.values(), *(digest.deliveries.values() if digest is not None else ())]
    results = [(delivery.channel, _cancel_result(delivery)) for delivery in deliveries]
    if digest is not None and digest.finished_at is None:
        results += [(channel, CancelResult.IN_DOUBT) for channel in route]
    worst = dict(sorted(results, key=lambda each: RESULT_RANK[each[1]]))
    return {channel: worst.get(channel, CancelResult.STOPPED) for channel in dict.fromkeys([*route, *worst])}


def _cancel_result(delivery: DeliveryRecord) -> CancelResult:
    if delivery.status in SENT_STATUSES:
        return CancelResult.ALREADY_SENT
    is_in_doubt = delivery.status in (DeliveryStatus.IN_DOUBT, DeliveryStatus.SENDING)
    return CancelResult.IN_DOUBT if is_in_doubt else CancelResult.STOPPED


def _has_call_in_flight(ledger: Ledger, delivery: DeliveryRecord) -> bool:
    return any(attempt.state is AttemptState.SUBMITTING for attempt in ledger.attempts_of(delivery.id))
