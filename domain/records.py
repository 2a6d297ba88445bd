"""The rows of one notification as plain values: what the ledger's functions take and give back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.reasons import ChannelReason, Reason, failure_line
from domain.statuses import DeliveryStatus, NotificationStatus

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRecord:
    """One call to one provider for one endpoint of a delivery. Times are the earliest reported.

    `reason` is why the call was not accepted, `receipt_reason` why the provider did not deliver what it accepted.
    `next_at` is when the next attempt is due, or the search for an unknown outcome ends.
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
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    bounced_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None

    @property
    def reached(self) -> bool:
        """The endpoint has the message, by the provider's word or by a receipt: it must never get it again."""
        return self.proves(Evidence.SENT)

    def proves(self, goal: Evidence) -> bool:
        """At least that much; a bounce outranks "delivered" and yet proves no arrival."""
        if self.evidence is None or (self.evidence is Evidence.BOUNCED and goal is not Evidence.SENT):
            return False
        return self.evidence.rank >= goal.rank


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRecord:
    """`awaits` is the evidence that the workflow waits for; None while it waits for nothing."""

    id: UUID
    channel: Channel
    step: int
    status: DeliveryStatus
    generation: int = 1
    failure: Reason | None = None
    by_rule: bool = False
    awaits: Evidence | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEvent:
    """`reason` is a code, and `detail` has its arguments. Where several channels have one each, `detail` lists them as
    `failures`."""

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
    """`revision` fences the write: it is the revision that was read. `deliveries` and `attempts` are those of every
    generation: a redrive makes new ones, and what is heard of the old ones still counts.
    `evidence_due`: something that the workflow waits for has come with this change."""

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

    def reached(self, delivery_id: UUID, endpoint_id: str) -> AttemptRecord | None:
        """The attempt by which this endpoint already has the message, if any."""
        for attempt in self.attempts_of(delivery_id):
            if attempt.endpoint_id == endpoint_id and attempt.reached:
                return attempt
        return None

    def earlier(self, delivery_id: UUID) -> list[DeliveryRecord]:
        """Those of earlier generations on the same step and channel, the latest first."""
        mine = self.deliveries[delivery_id]
        same = [d for d in self.deliveries.values() if (d.step, d.channel) == (mine.step, mine.channel)]
        before = [delivery for delivery in same if delivery.generation < mine.generation]
        return sorted(before, key=lambda delivery: -delivery.generation)

    def reached_before(self, delivery_id: UUID, endpoint_id: str) -> DeliveryRecord | None:
        """The delivery of an earlier generation by which this endpoint has the message, unless it came back."""
        for delivery in self.earlier(delivery_id):
            calls = [attempt for attempt in self.attempts_of(delivery.id) if attempt.endpoint_id == endpoint_id]
            if any(attempt.reached and attempt.evidence is not Evidence.BOUNCED for attempt in calls):
                return delivery
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Our own end of a delivery that no evidence supports: failed, skipped, cancelled, expired or in doubt."""

    status: DeliveryStatus
    reason: Reason
