"""What time it is, for everything that goes into rows. Not for workflows, whose clock is Temporal's, and not for
signatures and tokens, which others check by theirs."""

from datetime import UTC, datetime, timedelta

_offset = timedelta()


def now() -> datetime:
    return datetime.now(UTC) + _offset


def set_offset(offset: timedelta) -> None:
    """Of the machine's clock, in this process; only tests do that, `testing/` together with the other two clocks."""
    global _offset
    _offset = offset
