"""What may keep a notification from going out for a while: the hour, and how much there was.

Pure. Asked when preferences are resolved; the hour once more by the guard, just before a call.
"""

from datetime import datetime

from domain.local_times import reckoned_in
from domain.messages import Gate
from domain.notification_types import URGENT, NotificationType
from domain.quiet_hours import QuietHours, opens_at, quiet_until
from domain.stored_enums import StoredEnum
from domain.throttles import Claimed
from domain.timing import Limit, OnExceed, Scope


class GateReason(StoredEnum):
    QUIET_HOURS = "quiet_hours"
    SEND_WINDOW = "send_window"
    THROTTLED = "throttled"
    CAPPED = "capped"
    PROVIDER_BUSY = "provider_busy"


# Those that another zone, or other hours, can open earlier.
BY_THE_HOUR = (GateReason.QUIET_HOURS, GateReason.SEND_WINDOW)


def by_the_hour(
    kind: NotificationType, priority: int, quiet: QuietHours | None, zone: str, at: datetime
) -> Gate | None:
    """None: it may go out at this hour. `zone` is the person's own, else the tenant's."""
    zone = reckoned_in(zone)
    if quiet is not None and kind.disturbs(priority) and (until := quiet_until(quiet, zone, at)) is not None:
        return Gate(reason=GateReason.QUIET_HOURS, until=until)
    window = kind.timing.send_window
    if window is not None and (until := opens_at(window, zone, at)) is not None:
        return Gate(reason=GateReason.SEND_WINDOW, until=until)
    return None


def claims(kind: NotificationType, priority: int, recipient_id: str, cap: Limit | None) -> dict[GateReason, Claimed]:
    """The limits that one notification counts for. What is urgent or required counts for nobody's cap."""
    found: dict[GateReason, Claimed] = {}
    throttle = kind.timing.throttle
    if throttle is not None:
        whose = f" {recipient_id}" if throttle.scope is Scope.RECIPIENT else ""
        found[GateReason.THROTTLED] = Claimed(key=f"type {kind.key}{whose}", limit=throttle.limit)
    if cap is not None and not kind.required and priority > URGENT:
        found[GateReason.CAPPED] = Claimed(key=f"person {recipient_id}", limit=cap)
    return found


def exceeding(kind: NotificationType, why: GateReason, *, is_digest: bool) -> OnExceed:
    """Return what becomes of a notification that exceeds this limit. A cap defers, into the type's digest where it has
    one; a digest itself can only wait."""
    timing = kind.timing
    if why is GateReason.CAPPED:
        wanted = OnExceed.DIGEST if timing.digest is not None else OnExceed.DEFER
    else:
        wanted = timing.throttle.on_exceed if timing.throttle is not None else OnExceed.DEFER
    return OnExceed.DEFER if wanted is OnExceed.DIGEST and is_digest else wanted
