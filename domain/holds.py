"""What keeps a message back for a while: an operator paused its provider, channel or type, or suspended its tenant; a
circuit is open; or the vendor wants no calls just now."""

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
    """`reason` is for the timeline; `cause` is the same for the same pause, so that it is told once. `by_hand`:
    somebody paused it, and no other provider may take it instead."""

    reason: Reason
    cause: str
    is_manual: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivePause:
    """One that is in force. `by` is who made it, None if that is not recorded."""

    kind: HoldKind
    name: str
    since: datetime
    by: str | None = None
    reason: str | None = None


def pause_hold(id: UUID, kind: HoldKind, name: str) -> DeliveryHold:
    return DeliveryHold(reason=paused_reason(kind, name), cause=str(id), is_manual=True)


def paused_reason(kind: HoldKind, name: str) -> Reason:
    """Return why it is held. The name of a tenant is its id, which says nothing to its users."""
    if kind is HoldKind.TENANT:
        return Reason("tenant_suspended")
    return Reason("paused", {"kind": str(kind), "name": name})


def circuit_hold(provider: str, opening: int) -> DeliveryHold:
    reason = Reason("circuit_open", {"provider": provider})
    return DeliveryHold(reason=reason, cause=f"{provider} {opening}", is_manual=False)


def throttling_hold(provider: str) -> DeliveryHold:
    """Told once per attempt: a vendor may say so every second."""
    reason = Reason("provider_throttled", {"provider": provider})
    return DeliveryHold(reason=reason, cause=f"{provider} throttled", is_manual=False)
