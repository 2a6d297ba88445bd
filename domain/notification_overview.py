"""Derive from the rows of a notification its status, the reasons of its channels, and what a delivery shows."""

from uuid import UUID

from domain.evidence import Evidence
from domain.json_types import Json
from domain.reasons import ChannelReason, Reason
from domain.records import DeliveryRecord, Ledger
from domain.redrives import ALREADY_SENT
from domain.statuses import DeliveryStatus, NotificationStatus

# Best first. A delivery with several endpoints is as good as its best one, a notification as its best delivery.
ARRIVED_STATUSES = (DeliveryStatus.OPENED, DeliveryStatus.DELIVERED, DeliveryStatus.SENT)
FINAL_STATUS_ORDER: tuple[tuple[DeliveryStatus, NotificationStatus], ...] = (
    (DeliveryStatus.CANCELED, NotificationStatus.CANCELED),
    (DeliveryStatus.EXPIRED, NotificationStatus.EXPIRED),
    (DeliveryStatus.FAILED, NotificationStatus.FAILED),
)
NO_CHANNEL = (ChannelReason(None, Reason("no_channel")),)


def overall_status(
    ledger: Ledger, decided_status: NotificationStatus | None = None
) -> tuple[NotificationStatus | None, tuple[ChannelReason, ...]]:
    """Return the status that the deliveries imply; None while the notification is open and nothing is sent."""
    statuses = {delivery.status for delivery in ledger.deliveries.values()}
    for best in ARRIVED_STATUSES:
        if best in statuses:
            return NotificationStatus(best), ()
    if ledger.finished_at is None:
        return None, ()
    return _status_without_arrival(ledger, decided_status), channel_failures(ledger) or NO_CHANNEL


def _status_without_arrival(ledger: Ledger, decided_status: NotificationStatus | None) -> NotificationStatus | None:
    deliveries = deciding_deliveries(ledger)
    statuses = {delivery.status for delivery in deliveries}
    if DeliveryStatus.IN_DOUBT in statuses:
        return NotificationStatus.IN_DOUBT
    if any(attempt.was_sent for attempt in ledger.attempts.values()):
        return NotificationStatus.FAILED  # sent and bounced: neither expired nor canceled
    if decided_status is not None and decided_status is not NotificationStatus.FAILED:
        return decided_status
    for delivery_status, end in FINAL_STATUS_ORDER:
        if delivery_status in statuses:
            return end
    refused = statuses == {DeliveryStatus.SKIPPED} and all(d.is_skipped_by_rule for d in deliveries)
    return NotificationStatus.SUPPRESSED if refused else decided_status


def deciding_deliveries(ledger: Ledger) -> list[DeliveryRecord]:
    """Return the deliveries that explain a failure: those of this generation, those of earlier generations that are
    still in doubt, and those that sent what this generation therefore skipped."""
    deciding: list[DeliveryRecord] = []
    for delivery in ledger.deliveries.values():
        if delivery.generation < ledger.generation:
            deciding += [delivery] if delivery.status is DeliveryStatus.IN_DOUBT else []
        elif delivery.failure is not None and delivery.failure.code == ALREADY_SENT:
            deciding += [
                one for one in ledger.earlier(delivery.id) if any(a.was_sent for a in ledger.attempts_of(one.id))
            ]
        else:
            deciding.append(delivery)
    return list({delivery.id: delivery for delivery in deciding}.values())


def channel_failures(ledger: Ledger) -> tuple[ChannelReason, ...]:
    """Return every channel that failed, in the order of the route."""
    ordered = sorted(deciding_deliveries(ledger), key=lambda d: (d.step, d.channel, d.generation))
    return tuple(ChannelReason(d.channel, d.failure) for d in ordered if d.failure is not None)


def delivery_facts(ledger: Ledger, delivery_id: UUID) -> Json:
    """Return what a delivery shows of its attempts: the earliest times, and provider and response of its best
    attempt."""
    attempts = sorted(
        ledger.attempts_of(delivery_id), key=lambda a: (-EVIDENCE_RANK.index(a.evidence), a.number, a.endpoint_id)
    )
    best = attempts[0] if attempts else None
    names = ("sent_at", "delivered_at", "opened_at", "clicked_at")
    times = {name: min((t for a in attempts if (t := getattr(a, name))), default=None) for name in names}
    shown = ("provider", "provider_message_id", "provider_response")
    return {**times, **{name: getattr(best, name, None) for name in shown}}


# A bounce outranks "delivered" as evidence of one message, but any arrival at another endpoint outranks a bounce.
EVIDENCE_RANK = (
    None,
    Evidence.NOT_SENT,
    Evidence.BOUNCED,
    Evidence.IN_DOUBT,
    Evidence.SENT,
    Evidence.DELIVERED,
    Evidence.OPENED,
    Evidence.CLICKED,
)
