"""Define the rows of one notification as plain values, the input and output of the ledger's functions."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.json_types import Json
from domain.reasons import ChannelReason, Reason, failure_line
from domain.statuses import DeliveryStatus, NotificationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRecord:
    """Describe one call to one provider for one endpoint of a delivery. Times are the earliest reported.

    `reason` is why the call was not accepted, `receipt_reason` why the provider did not deliver what it accepted.
    `next_at` is when the next attempt is due, or the reconciliation of an unknown outcome ends.
    """

    id: UUID
    delivery_id: UUID
    endpoint_id: str
    number: int
    provider: str
    state: AttemptState
    evidence: Evidence | None = None
    error_type: str | None = None
    reason: str | None = None
    receipt_reason: str | None = None
    finished_at: datetime | None = None
    next_at: datetime | None = None
    provider_message_id: str | None = None
    provider_response: Json | None = None
    cost: str | None = None
    started_at: datetime | None = None
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    bounced_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None

    @property
    def was_sent(self) -> bool:
        """Return whether a response or a receipt proves that the provider accepted the message, even if it bounced
        later. Such a call is never repeated."""
        return self.proves(Evidence.SENT)

    def proves(self, goal: Evidence) -> bool:
        """Return whether the evidence is at least `goal`. A bounce outranks "delivered" and yet proves no arrival."""
        if self.evidence is None or (self.evidence is Evidence.BOUNCED and goal is not Evidence.SENT):
            return False
        return self.evidence.rank >= goal.rank


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRecord:
    """Describe a delivery. `awaited_evidence` is the evidence that the workflow waits for, or None."""

    id: UUID
    channel: Channel
    step: int
    status: DeliveryStatus
    generation: int = 1
    failure: Reason | None = None
    is_skipped_by_rule: bool = False
    awaited_evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEvent:
    """Describe an event. `reason` is a code, and `detail` has its arguments. If several channels have a reason,
    `detail` lists them as `failures`."""

    at: datetime
    kind: str
    channel: Channel | None = None
    reason: str | None = None
    detail: Json | None = None
    delivery_id: UUID | None = None
    delivery_status: DeliveryStatus | None = None
    status: NotificationStatus | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Hold the rows. `revision` fences the write: it is the revision that was read. `deliveries` and `attempts` are
    those of every generation: a redrive makes new ones, and receipts for the old ones still count. `evidence_due`:
    this change adds evidence that the workflow waits for."""

    notification_id: UUID
    tenant: UUID
    generation: int
    revision: int
    status: NotificationStatus
    failures: tuple[ChannelReason, ...] = ()
    expires_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    evidence_due: bool = False
    deliveries: dict[UUID, DeliveryRecord] = field(default_factory=dict)
    attempts: dict[UUID, AttemptRecord] = field(default_factory=dict)
    events: tuple[TimelineEvent, ...] = ()

    @property
    def failure_reason(self) -> str | None:
        return failure_line(self.failures)

    def attempts_of(self, delivery_id: UUID) -> list[AttemptRecord]:
        return [attempt for attempt in self.attempts.values() if attempt.delivery_id == delivery_id]

    def find_sent_attempt(self, delivery_id: UUID, endpoint_id: str) -> AttemptRecord | None:
        """Return the attempt that was sent to this endpoint, if any, even if it bounced later."""
        for attempt in self.attempts_of(delivery_id):
            if attempt.endpoint_id == endpoint_id and attempt.was_sent:
                return attempt
        return None

    def earlier(self, delivery_id: UUID) -> list[DeliveryRecord]:
        """Return the deliveries of earlier generations on the same step and channel, the latest first."""
        mine = self.deliveries[delivery_id]
        same = [d for d in self.deliveries.values() if (d.step, d.channel) == (mine.step, mine.channel)]
        before = [delivery for delivery in same if delivery.generation < mine.generation]
        return sorted(before, key=lambda delivery: -delivery.generation)

    def find_earlier_unbounced(self, delivery_id: UUID, endpoint_id: str) -> DeliveryRecord | None:
        """Return the latest delivery of an earlier generation that was sent to this endpoint and did not bounce."""
        for delivery in self.earlier(delivery_id):
            calls = [attempt for attempt in self.attempts_of(delivery.id) if attempt.endpoint_id == endpoint_id]
            if any(attempt.was_sent and attempt.evidence is not Evidence.BOUNCED for attempt in calls):
                return delivery
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryDecision:
    """Hold our own end of a delivery without evidence: failed, skipped, canceled, expired or in doubt."""

    status: DeliveryStatus
    reason: Reason
