"""Cancelling: stop what has not gone out, and answer truthfully per channel what became of it."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from domain.channels import Channel
from domain.evidence import AttemptState
from domain.ledger import OPEN, close_delivery, finish
from domain.reasons import Reason
from domain.records import Delivery, Ledger, Verdict
from domain.statuses import DeliveryStatus, NotificationStatus


class CancelAnswer(StrEnum):
    STOPPED = "stopped"
    ALREADY_SENT = "already_sent"
    IN_DOUBT = "in_doubt"


RANK = {CancelAnswer.STOPPED: 0, CancelAnswer.IN_DOUBT: 1, CancelAnswer.ALREADY_SENT: 2}
SENT = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.OPENED)
CANCELED = Verdict(status=DeliveryStatus.CANCELED, reason=Reason("canceled"))


def cancel(ledger: Ledger, at: datetime) -> Ledger:
    """Close what no provider has been called for. While a call is under way its answer decides, and `deliver`
    obeys the request before any further call."""
    if ledger.finished_at is not None:
        return ledger
    ledger = replace(ledger, cancel_requested_at=ledger.cancel_requested_at or at)
    for delivery in list(ledger.deliveries.values()):
        if delivery.status in OPEN and not _under_way(ledger, delivery):
            ledger = close_delivery(ledger, delivery.id, CANCELED, at)
    if any(delivery.status in OPEN for delivery in ledger.deliveries.values()):
        return ledger
    return finish(ledger, at, NotificationStatus.CANCELED, CANCELED.reason)


def answers(ledger: Ledger, route: list[Channel], digest: Ledger | None = None) -> dict[Channel, CancelAnswer]:
    """Per channel, the least comfortable truth over its deliveries. Before resolution: the route's channels. `digest`
    is what an item has gone into: as long as that is on its way, it may come by each of them."""
    deliveries = [*ledger.deliveries.values(), *(digest.deliveries.values() if digest is not None else ())]
    said = [(delivery.channel, _answer(delivery)) for delivery in deliveries]
    if digest is not None and digest.finished_at is None:
        said += [(channel, CancelAnswer.IN_DOUBT) for channel in route]
    worst = dict(sorted(said, key=lambda each: RANK[each[1]]))
    return {channel: worst.get(channel, CancelAnswer.STOPPED) for channel in dict.fromkeys([*route, *worst])}


def _answer(delivery: Delivery) -> CancelAnswer:
    if delivery.status in SENT:
        return CancelAnswer.ALREADY_SENT
    doubtful = delivery.status in (DeliveryStatus.IN_DOUBT, DeliveryStatus.SENDING)
    return CancelAnswer.IN_DOUBT if doubtful else CancelAnswer.STOPPED


def _under_way(ledger: Ledger, delivery: Delivery) -> bool:
    return any(attempt.state is AttemptState.SUBMITTING for attempt in ledger.attempts_of(delivery.id))
