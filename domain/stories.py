"""A notification as it is recorded, for `domain/explanations.py` to tell."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.holds import HoldKind, Pause
from domain.reasons import ChannelReason, Reason
from domain.records import Event
from domain.statuses import DeliveryStatus, NotificationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """A delivery, as explanations need it. `waits_until` is the end of what it waits for, if that is known."""

    id: UUID
    generation: int
    step: int
    channel: Channel
    status: DeliveryStatus
    awaits: Evidence | None = None
    held_at: datetime | None = None
    held_providers: tuple[str, ...] = ()
    waits_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """An attempt."""

    delivery_id: UUID
    endpoint_id: str
    number: int
    provider: str
    state: AttemptState
    started_at: datetime
    finished_at: datetime | None = None
    error_type: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """Everything that is recorded, in the order of its times. `route` are the channels by step, `beside` those that go
    out always; `only` those that the caller asked for. `waits_for` is the gate that keeps it, and `collected`: it has
    no way of its own, its digest goes for it, which closes at `closes_at`. `pauses` are those in force that may concern
    it."""

    notification_type: str
    type_version: int
    priority: int
    status: NotificationStatus
    generation: int
    failures: tuple[ChannelReason, ...]
    created_at: datetime
    send_at: datetime | None
    expires_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    dispatched_at: datetime | None
    dispatch_at: datetime
    route: tuple[tuple[Channel, ...], ...]
    beside: tuple[Channel, ...] = ()
    only: tuple[Channel, ...] | None = None
    waits_for: Reason | None = None
    waits_until: datetime | None = None
    collected: bool = False
    closes_at: datetime | None = None
    legs: tuple[Leg, ...] = ()
    calls: tuple[Call, ...] = ()
    events: tuple[Event, ...] = ()
    pauses: tuple[Pause, ...] = ()

    @property
    def current(self) -> list[Leg]:
        return [leg for leg in self.legs if leg.generation == self.generation]

    def pauses_of(self, leg: Leg) -> list[Pause]:
        """Those in force that hold this delivery back."""
        names = {
            HoldKind.CHANNEL: {str(leg.channel)},
            HoldKind.TYPE: {self.notification_type},
            HoldKind.PROVIDER: set(leg.held_providers),
        }
        return [pause for pause in self.pauses if pause.name in names.get(pause.kind, ())]

    def calls_of(self, leg: Leg) -> list[Call]:
        return [call for call in self.calls if call.delivery_id == leg.id]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """`at` is None for what has no moment: what did not happen, and what is waited for now."""

    text: str
    at: datetime | None = None
