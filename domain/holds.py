"""Define what holds a delivery: a pause of its provider, channel or type, a suspended tenant, an open circuit, or
throttling by the vendor."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.reasons import Reason
from domain.stored_enums import StoredEnum


class HoldKind(StoredEnum):
    PROVIDER = "provider"
    CHANNEL = "channel"
    TYPE = "type"
    TENANT = "tenant"  # it is suspended


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryHold:
    """Describe a hold. `reason` is for the timeline. `cause` is the same for the same pause, so that it is recorded
    once. `is_manual`: an operator paused it, and no other provider may be used instead."""

    reason: Reason
    cause: str
    is_manual: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivePause:
    """Describe a pause in force. `by` is who made it, None if that is not recorded."""

    kind: HoldKind
    name: str
    since: datetime
    by: str | None = None
    reason: str | None = None


def pause_hold(id: UUID, kind: HoldKind, name: str) -> DeliveryHold:
    return DeliveryHold(reason=paused_reason(kind, name), cause=str(id), is_manual=True)


def paused_reason(kind: HoldKind, name: str) -> Reason:
    """Return why the delivery is held. The name of a tenant is its id, which is meaningless to its users."""
    if kind is HoldKind.TENANT:
        return Reason("tenant_suspended")
    return Reason("paused", {"kind": str(kind), "name": name})


def circuit_hold(provider: str, opening: int) -> DeliveryHold:
    reason = Reason("circuit_open", {"provider": provider})
    return DeliveryHold(reason=reason, cause=f"{provider} {opening}", is_manual=False)


def throttling_hold(provider: str) -> DeliveryHold:
    """Return a hold that the timeline shows once per attempt, because a vendor may throttle every second."""
    reason = Reason("provider_throttled", {"provider": provider})
    return DeliveryHold(reason=reason, cause=f"{provider} throttled", is_manual=False)
