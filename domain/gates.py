"""Define the gates that hold a notification for a time: quiet hours, send windows, throttles and frequency caps.

Pure. Checked when preferences are resolved. The guard checks the time gate again just before a call.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.local_times import known_zone_or_utc
from domain.notification_types import URGENT_PRIORITY, NotificationType
from domain.quiet_hours import QuietHours, next_opening, quiet_hours_end
from domain.reasons import Reason
from domain.stored_enums import StoredEnum
from domain.throttles import CountedLimit
from domain.timing import FrequencyLimit, OnExceed, ThrottleScope


class GateReason(StoredEnum):
    QUIET_HOURS = "quiet_hours"
    SEND_WINDOW = "send_window"
    THROTTLED = "throttled"
    FREQUENCY_CAPPED = "frequency_capped"
    PROVIDER_BUSY = "provider_busy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Describe what a notification waits for, and when the gate opens by itself. Without `until` a resume ends the
    wait. `provider` is the busy one."""

    reason: str
    until: datetime | None = None
    provider: str | None = None

    @property
    def full_reason(self) -> Reason:
        return Reason(self.reason, {"provider": self.provider} if self.provider else {})


# The gates that another zone, or other hours, can open earlier.
TIME_GATE_REASONS = (GateReason.QUIET_HOURS, GateReason.SEND_WINDOW)


def time_gate(
    notification_type: NotificationType, priority: int, quiet: QuietHours | None, zone: str, at: datetime
) -> Gate | None:
    """Return the closed time gate, or None. `zone` is the recipient's own, else the tenant's."""
    zone = known_zone_or_utc(zone)
    if (
        quiet is not None
        and notification_type.is_held_by_quiet_hours(priority)
        and (until := quiet_hours_end(quiet, zone, at)) is not None
    ):
        return Gate(reason=GateReason.QUIET_HOURS, until=until)
    window = notification_type.timing.send_window
    if window is not None and (until := next_opening(window, zone, at)) is not None:
        return Gate(reason=GateReason.SEND_WINDOW, until=until)
    return None


def counted_limits(
    notification_type: NotificationType, priority: int, recipient_id: str, cap: FrequencyLimit | None
) -> dict[GateReason, CountedLimit]:
    """Return the limits that a notification counts for. An urgent or required notification counts for no cap."""
    found: dict[GateReason, CountedLimit] = {}
    throttle = notification_type.timing.throttle
    if throttle is not None:
        scope_suffix = f" {recipient_id}" if throttle.scope is ThrottleScope.RECIPIENT else ""
        found[GateReason.THROTTLED] = CountedLimit(
            key=f"type {notification_type.key}{scope_suffix}", limit=throttle.limit
        )
    if cap is not None and not notification_type.required and priority > URGENT_PRIORITY:
        found[GateReason.FREQUENCY_CAPPED] = CountedLimit(key=f"recipient {recipient_id}", limit=cap)
    return found


def action_on_exceed(notification_type: NotificationType, gate_reason: GateReason, *, is_digest: bool) -> OnExceed:
    """Return what becomes of a notification that exceeds this limit. A cap defers, into the type's digest if it has
    one; a digest itself can only wait."""
    timing = notification_type.timing
    if gate_reason is GateReason.FREQUENCY_CAPPED:
        wanted = OnExceed.DIGEST if timing.digest is not None else OnExceed.DEFER
    else:
        wanted = timing.throttle.on_exceed if timing.throttle is not None else OnExceed.DEFER
    return OnExceed.DEFER if wanted is OnExceed.DIGEST and is_digest else wanted
