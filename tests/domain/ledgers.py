"""Build ledgers for tests, and read facts from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_outcome, record_receipt
from domain.records import AttemptRecord, DeliveryRecord, Ledger
from domain.statuses import DeliveryStatus, NotificationStatus

NAMESPACE = UUID(int=0)
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def ident(*parts: object) -> UUID:
    return uuid5(NAMESPACE, ":".join(map(str, parts)))


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def delivery(
    channel: Channel = Channel.EMAIL,
    status: DeliveryStatus = DeliveryStatus.SENDING,
    step: int = 1,
    generation: int = 1,
    **more: object,
) -> DeliveryRecord:
    fields: dict[str, object] = {
        "id": ident(channel, step, generation),
        "channel": channel,
        "step": step,
        "status": status,
        "generation": generation,
    }
    return DeliveryRecord(**{**fields, **more})  # type: ignore[arg-type]


def attempt(
    of: DeliveryRecord, number: int = 1, endpoint: str = "email", state: AttemptState = AttemptState.SUBMITTING
) -> AttemptRecord:
    return AttemptRecord(
        id=ident(of.id, endpoint, number),
        delivery_id=of.id,
        endpoint_id=endpoint,
        number=number,
        provider="sandbox",
        state=state,
    )


def ledger(*rows: DeliveryRecord | AttemptRecord, **more: object) -> Ledger:
    start = Ledger(
        notification_id=ident("notification"),
        tenant=ident("tenant"),
        generation=1,
        revision=0,
        status=NotificationStatus.PENDING,
        deliveries={row.id: row for row in rows if isinstance(row, DeliveryRecord)},
        attempts={row.id: row for row in rows if isinstance(row, AttemptRecord)},
    )
    return replace(start, **more)  # type: ignore[arg-type]


def redriven(before: Ledger, *rows: DeliveryRecord | AttemptRecord) -> Ledger:
    """Return the ledger as `storage/dead_letters.py` leaves the row, with the deliveries and calls of the new
    generation."""
    deliveries = {row.id: row for row in rows if isinstance(row, DeliveryRecord)}
    return replace(
        before,
        generation=before.generation + 1,
        status=NotificationStatus.PENDING,
        failures=(),
        finished_at=None,
        cancel_requested_at=None,
        deliveries={**before.deliveries, **deliveries},
        attempts={**before.attempts, **{row.id: row for row in rows if isinstance(row, AttemptRecord)}},
        events=(),
    )


def with_outcome(before: Ledger, call: AttemptRecord, state: AttemptState, at: float = 1) -> Ledger:
    return record_outcome(before, before.attempts[call.id], state, later(at))


def statuses(of: Ledger) -> list[NotificationStatus]:
    """Return the statuses in the order of the timeline."""
    return [event.status for event in of.events if event.status is not None]


def only_delivery(of: Ledger) -> DeliveryRecord:
    [delivery] = of.deliveries.values()
    return delivery


EMAIL = delivery()
SMS = delivery(Channel.SMS, step=2)
CALL = attempt(EMAIL)


def receipt(before: Ledger, evidence: Evidence, at: float = 2, call: object = None) -> Ledger:
    return record_receipt(before, getattr(call, "id", CALL.id), evidence, later(at), later(at))


def with_everything(**more: object) -> Ledger:
    return ledger(EMAIL, CALL, **more)
