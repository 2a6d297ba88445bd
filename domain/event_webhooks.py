"""Define the events of outgoing webhooks and their retries. Pure: the caller passes time and randomness."""

from datetime import datetime, timedelta

from domain.statuses import NotificationStatus

ALL_EVENTS = "*"
TEST_EVENT = "endpoint.test"
DISABLED_EVENT = "endpoint.disabled"
MESSAGE_RECEIVED = "message.received"
EVENT_PREFIX = "notification."
# The response to a send shows PENDING.
STATUS_EVENTS = tuple(
    f"{EVENT_PREFIX}{status.lower()}" for status in NotificationStatus if status is not NotificationStatus.PENDING
)
# The events that an endpoint may subscribe to, besides ALL_EVENTS.
EVENT_TYPES = (*STATUS_EVENTS, MESSAGE_RECEIVED)

# The delay before each attempt: eight attempts in a little more than a day.
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
# The longest Retry-After of a receiver that is obeyed.
MAX_RETRY_AFTER = RETRY_DELAYS[-1]

# An endpoint is disabled after all its posts have failed for this long.
DISABLE_AFTER = timedelta(days=5)
# Longer than any delay of the schedule: a failure after such a gap starts a new series.
FAILURE_RESET_AFTER = timedelta(hours=36)

# After a rotation both secrets sign for this long.
SECRET_OVERLAP = timedelta(days=1)
# How long messages and their results are kept.
MESSAGE_RETENTION = timedelta(days=30)


def retry_delay(attempts: int, rand: float, retry_after: timedelta | None = None) -> timedelta | None:
    """Return the delay from the failure of attempt number `attempts` (from 1) to the next attempt; None after the
    last. `rand` in [0, 1) changes it by up to a tenth; `retry_after` is the receiver's."""
    if attempts >= len(RETRY_DELAYS):
        return None
    delay = RETRY_DELAYS[attempts] * (1 + JITTER * (2 * rand - 1))
    return max(delay, min(retry_after or timedelta(), MAX_RETRY_AFTER))


def failing_since(known: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """Return since when all posts have failed, after another failure. `last` is the previous failure."""
    if known is None or last is None or now - last > FAILURE_RESET_AFTER:
        return now
    return known


def has_failed_too_long(since: datetime, now: datetime) -> bool:
    return now - since >= DISABLE_AFTER
