"""Define the recorded history of a notification, as input of `domain/explaining/explanations.py`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.holds import ActivePause, HoldKind
from domain.reasons import ChannelReason, Reason
from domain.records import TimelineEvent
from domain.sms_segments import SmsSegments
from domain.statuses import DeliveryStatus, NotificationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryHistory:
    """Describe a delivery. `waits_until` is the end of its wait, or None if that is not known. `sms` are the segments
    of an SMS while its content is stored."""

    id: UUID
    generation: int
    step: int
    channel: Channel
    status: DeliveryStatus
    awaited_evidence: Evidence | None = None
    held_at: datetime | None = None
    held_providers: tuple[str, ...] = ()
    waits_until: datetime | None = None
    sms: SmsSegments | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptHistory:
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
class NotificationHistory:
    """Hold everything that is recorded, sorted by time. `route` is the channels by step, `always` those that are
    always sent, `only` those that the caller asked for. `waits_for` is the closed gate. `collected`: the
    notification is sent as part of its digest, which closes at `closes_at`. `pauses` are the active ones that may
    concern it."""

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
    always: tuple[Channel, ...] = ()
    only: tuple[Channel, ...] | None = None
    waits_for: Reason | None = None
    waits_until: datetime | None = None
    collected: bool = False
    closes_at: datetime | None = None
    deliveries: tuple[DeliveryHistory, ...] = ()
    attempts: tuple[AttemptHistory, ...] = ()
    events: tuple[TimelineEvent, ...] = ()
    pauses: tuple[ActivePause, ...] = ()

    @property
    def current(self) -> list[DeliveryHistory]:
        return [delivery for delivery in self.deliveries if delivery.generation == self.generation]

    def pauses_of(self, delivery: DeliveryHistory) -> list[ActivePause]:
        """Return the active pauses that hold this delivery."""
        names = {
            HoldKind.CHANNEL: {str(delivery.channel)},
            HoldKind.TYPE: {self.notification_type},
            HoldKind.PROVIDER: set(delivery.held_providers),
        }
        return [pause for pause in self.pauses if pause.name in names.get(pause.kind, ())]

    def attempts_of(self, delivery: DeliveryHistory) -> list[AttemptHistory]:
        return [attempt for attempt in self.attempts if attempt.delivery_id == delivery.id]


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryLine:
    """Hold a line of the explanation. `at` is None for what did not happen, and for present waits."""

    text: str
    at: datetime | None = None
