"""What outgoing event webhooks tell, and when they are tried again. Pure: whoever posts brings clock and dice."""

from datetime import datetime, timedelta

from domain.statuses import NotificationStatus

EVERY = "*"
TEST = "endpoint.test"
DISABLED = "endpoint.disabled"
PREFIX = "notification."
# What an endpoint may subscribe to, beside EVERY. PENDING is what the answer to a send says.
KINDS = tuple(f"{PREFIX}{status.lower()}" for status in NotificationStatus if status is not NotificationStatus.PENDING)

# What is waited before each try: eight of them, over a little more than a day.
SCHEDULE = (
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
LONGEST_WISH = SCHEDULE[-1]

# An endpoint to which nothing got through for so long is disabled.
FAILING_FOR = timedelta(days=5)
# Longer than any pause of the schedule: after such a silence, a failure is a new beginning and not one more.
SILENCE = timedelta(hours=36)

# Both secrets sign for so long after a rotation.
OVERLAP = timedelta(days=1)
# How long messages, and what became of them, are kept.
KEPT_FOR = timedelta(days=30)


def pause_after(tries: int, dice: float, wish: timedelta | None = None) -> timedelta | None:
    """From the failure of try number `tries` (from 1) to the next one; None after the last. `dice` in [0, 1) makes it
    up to a tenth shorter or longer; `wish` is the receiver's Retry-After."""
    if tries >= len(SCHEDULE):
        return None
    ordinary = SCHEDULE[tries] * (1 + JITTER * (2 * dice - 1))
    return max(ordinary, min(wish or timedelta(), LONGEST_WISH))


def failing_since(known: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """Since when nothing gets through, now that something failed again. `last` is the failure before this one."""
    if known is None or last is None or now - last > SILENCE:
        return now
    return known


def failed_too_long(since: datetime, now: datetime) -> bool:
    return now - since >= FAILING_FOR
