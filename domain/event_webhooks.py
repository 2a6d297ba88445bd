"""What outgoing event webhooks tell, and when they are tried again. Pure: whoever posts brings clock and dice."""

from datetime import datetime, timedelta

from domain.statuses import NotificationStatus

ALL_EVENTS = "*"
TEST_EVENT = "endpoint.test"
DISABLED_EVENT = "endpoint.disabled"
EVENT_PREFIX = "notification."
# What an endpoint may subscribe to, beside EVERY. PENDING is what the answer to a send says.
EVENT_TYPES = tuple(
    f"{EVENT_PREFIX}{status.lower()}" for status in NotificationStatus if status is not NotificationStatus.PENDING
)

# What is waited before each try: eight of them, over a little more than a day.
RETRY_DELAYS = (
    timedelta(),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
JITTER = 0.1
# The longest that a receiver's Retry-After is obeyed.
MAX_RETRY_AFTER = RETRY_DELAYS[-1]

# An endpoint to which nothing got through for so long is disabled.
DISABLE_AFTER = timedelta(days=5)
# Longer than any pause of the schedule: after such a silence, a failure is a new beginning and not one more.
FAILURE_RESET_AFTER = timedelta(hours=36)

# Both secrets sign for so long after a rotation.
SECRET_OVERLAP = timedelta(days=1)
# How long messages, and what became of them, are kept.
MESSAGE_RETENTION = timedelta(days=30)


def retry_delay(attempts: int, rand: float, retry_after: timedelta | None = None) -> timedelta | None:
    """From the failure of try number `tries` (from 1) to the next one; None after the last. `dice` in [0, 1) makes it
    up to a tenth shorter or longer; `wish` is the receiver's Retry-After."""
    if attempts >= len(RETRY_DELAYS):
        return None
    delay = RETRY_DELAYS[attempts] * (1 + JITTER * (2 * rand - 1))
    return max(delay, min(retry_after or timedelta(), MAX_RETRY_AFTER))


def failing_since(known: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """Since when nothing gets through, now that something failed again. `last` is the failure before this one."""
    if known is None or last is None or now - last > FAILURE_RESET_AFTER:
        return now
    return known


def has_failed_too_long(since: datetime, now: datetime) -> bool:
    return now - since >= DISABLE_AFTER
