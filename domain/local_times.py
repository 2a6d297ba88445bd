"""Convert between instants and local times. An instant is an aware datetime in UTC, a local time a naive one.

A local time is missing when clocks are set forward and occurs twice when they are set back. Everything in a
recipient's own zone (recurring sends, quiet hours) uses these functions, so that both cases are treated alike.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def load_zone(name: str) -> ZoneInfo:
    """Return a zone of the IANA database; raise ValueError if it does not exist."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: "Europe" is a folder of the database
        raise ValueError("must be a time zone name of the IANA database, such as Europe/Vienna") from None


UTC_ZONE = "UTC"


def is_known_zone(zone: str) -> bool:
    """Return whether this machine knows the zone. The databases of machines may differ."""
    try:
        load_zone(zone)
    except ValueError:
        return False
    return True


def known_zone_or_utc(zone: str) -> str:
    """Return the zone, or UTC if this machine does not know it."""
    return zone if is_known_zone(zone) else UTC_ZONE


def to_local_time(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def to_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which the local clock shows this or a later time. A missing time begins when
    clocks are set forward; of a time that occurs twice the first counts. So a later local time never has an earlier
    instant."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return at if to_local_time(at, zone) == local else _set_forward(local, zone, at)


def _set_forward(missing: datetime, zone: ZoneInfo, later: datetime) -> datetime:
    """Return the instant of a change. `later` is `missing` by the offset before the change, which is after it; by
    the offset after, it is before it."""
    earlier = missing.replace(tzinfo=zone, fold=1).astimezone(UTC)
    seconds = range(int((later - earlier).total_seconds()))
    shown = bisect_left(seconds, missing, key=lambda second: to_local_time(earlier + timedelta(seconds=second), zone))
    return earlier + timedelta(seconds=shown)
