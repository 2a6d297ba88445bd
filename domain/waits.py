"""Derive what an open notification waits for, and until when, from its rows. Pure; `storage/gates.py` reads the
rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.evidence import AttemptState, Evidence
from domain.stored_enums import StoredEnum


class WaitReason(StoredEnum):
    """The values of `waits_for`, which is null while a notification is being processed."""

    SEND_AT = "send_at"
    DIGEST = "digest"
    QUIET_HOURS = "quiet_hours"
    SEND_WINDOW = "send_window"
    THROTTLED = "throttled"
    FREQUENCY_CAPPED = "frequency_capped"
    PROVIDER_BUSY = "provider_busy"
    PROVIDER_THROTTLED = "provider_throttled"
    CIRCUIT_OPEN = "circuit_open"
    PAUSED = "paused"
    RETRY = "retry"
    RECEIPT = "receipt"
    GOAL = "goal"
    DISPATCH = "dispatch"


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrentWait:
    """Describe a wait. `until` is its latest end, or when it is checked again; None: not known."""

    reason: WaitReason
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingCall:
    """Hold the last attempt for an endpoint. `next_at` is when the next one is due, or the reconciliation ends."""

    state: AttemptState
    next_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldState:
    """Describe why a delivery is held now. With the defaults, it was released or is about to be released."""

    paused: bool = False
    circuit_open: bool = False
    probe_at: datetime | None = None
    throttled_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingDelivery:
    """Describe a delivery that is open, or whose step waits for its goal `awaited_evidence` `within` a time."""

    id: UUID
    awaited_evidence: Evidence | None = None
    sent_at: datetime | None = None
    within: timedelta | None = None
    hold: HoldState | None = None
    calls: Sequence[WaitingCall] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingRows:
    """Hold the rows of an open notification. `gate` and `gate_until` are those of its queue entry. `is_queued`: no
    process has claimed it. `collected`: it is, or will be, part of the digest that closes at `closes_at`."""

    send_at: datetime | None = None
    expires_at: datetime | None = None
    collected: bool = False
    closes_at: datetime | None = None
    gate: str | None = None
    gate_until: datetime | None = None
    is_queued: bool = False
    deliveries: Sequence[WaitingDelivery] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationWaits:
    """Hold the waits. `of_deliveries` has them by id, without deliveries that wait for nothing of their own."""

    of_notification: CurrentWait | None = None
    of_deliveries: Mapping[UUID, CurrentWait] = field(default_factory=dict)


# During a rolling deploy a queue entry may have a reason of a newer version.
WAIT_REASONS = {str(reason): reason for reason in WaitReason}
NO_WAITS = NotificationWaits()


def find_waits(rows: WaitingRows, now: datetime) -> NotificationWaits:
    """Return the notification's own wait, else the wait of its deliveries that ends first."""
    waits = {one.id: wait for one in rows.deliveries if (wait := _wait_of_delivery(one, rows.expires_at)) is not None}
    first = min(waits.values(), key=_end_order, default=None)
    return NotificationWaits(
        of_notification=_wait_of_notification(rows, now) or first or _wait_for_dispatch(rows), of_deliveries=waits
    )


def _wait_of_notification(rows: WaitingRows, now: datetime) -> CurrentWait | None:
    if rows.collected:
        return CurrentWait(reason=WaitReason.DIGEST, until=rows.closes_at)
    if rows.send_at is not None and rows.send_at > now:
        return CurrentWait(reason=WaitReason.SEND_AT, until=rows.send_at)
    gate = WAIT_REASONS.get((rows.gate or "").partition(" ")[0])
    return None if gate is None else CurrentWait(reason=gate, until=rows.gate_until)


def _wait_for_dispatch(rows: WaitingRows) -> CurrentWait | None:
    return CurrentWait(reason=WaitReason.DISPATCH) if rows.is_queued else None


def _wait_of_delivery(delivery: WaitingDelivery, expires_at: datetime | None) -> CurrentWait | None:
    if delivery.hold is not None:
        return _wait_for_release(delivery.hold)
    next_at = [call.next_at for call in delivery.calls if call.next_at and call.state is not AttemptState.SUBMITTING]
    if delivery.awaited_evidence is Evidence.SENT:
        return CurrentWait(reason=WaitReason.RECEIPT, until=max(next_at, default=None))
    if delivery.awaited_evidence is not None:
        return CurrentWait(reason=WaitReason.GOAL, until=_deadline(delivery, expires_at))
    return CurrentWait(reason=WaitReason.RETRY, until=min(next_at)) if next_at else None


def _wait_for_release(hold: HoldState) -> CurrentWait:
    if hold.paused:
        return CurrentWait(reason=WaitReason.PAUSED)
    if hold.circuit_open:
        return CurrentWait(reason=WaitReason.CIRCUIT_OPEN, until=hold.probe_at)
    if hold.throttled_until is not None:
        return CurrentWait(reason=WaitReason.PROVIDER_THROTTLED, until=hold.throttled_until)
    return CurrentWait(reason=WaitReason.DISPATCH)


def _deadline(delivery: WaitingDelivery, expires_at: datetime | None) -> datetime | None:
    if delivery.sent_at is None or delivery.within is None:
        return expires_at
    deadline = delivery.sent_at + delivery.within
    return deadline if expires_at is None else min(deadline, expires_at)


def _end_order(wait: CurrentWait) -> tuple[bool, datetime]:
    return wait.until is None, wait.until or datetime.max.replace(tzinfo=UTC)
