"""Return the time for everything in rows. Workflows use Temporal's clock; signatures and tokens use the machine's
clock, because others check them."""

from datetime import UTC, datetime, timedelta

_offset = timedelta()


def now() -> datetime:
    return datetime.now(UTC) + _offset


def set_offset(offset: timedelta) -> None:
    """Set the offset from the machine's clock in this process. Only tests call this, together with the other two
    clocks of `testing/`."""
    global _offset
    _offset = offset
