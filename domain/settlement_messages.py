"""Define the messages of `settle`, which ends deliveries and notifications."""

from dataclasses import dataclass, field
from uuid import UUID

from domain.evidence import Evidence
from domain.reasons import Args
from domain.statuses import DeliveryStatus, NotificationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryEnd:
    delivery_id: UUID
    status: DeliveryStatus
    reason: str
    args: Args = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleInput:
    """Request the end of deliveries, and with `verdict` that of the notification. With `waits_for` the notification
    stays open, because `step` waits until one of its deliveries has this evidence. `has_always_step`: the workflow
    waits for the always step."""

    notification_id: UUID
    tenant: UUID
    generation: int
    ends: tuple[DeliveryEnd, ...] = ()
    verdict: NotificationStatus | None = None
    reason: str | None = None
    step: int | None = None
    waits_for: Evidence | None = None
    has_always_step: bool = False
