"""Between instants and what clocks on a wall show. An instant is an aware datetime in UTC, a local time a naive one.

Where clocks are set forward a local time is missing, where they are set back it comes twice. All that is meant in
somebody's own zone (recurring sends, quiet hours) asks here, so that both are treated alike.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def load_zone(name: str) -> ZoneInfo:
    """ValueError for what is no zone of the IANA database."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: "Europe" is a folder of the database
        raise ValueError("must be a time zone name of the IANA database, such as Europe/Vienna") from None


UTC_ZONE = "UTC"


def is_known_zone(zone: str) -> bool:
    """What one machine's database of zones has, that of another may not have yet, or not have any more."""
    try:
        load_zone(zone)
    except ValueError:
        return False
    return True


def known_zone_or_utc(zone: str) -> str:
    """Whoever is where this machine knows no clocks is served by those of UTC."""
    return zone if is_known_zone(zone) else UTC_ZONE


def to_local_time(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def to_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first at which clocks there show this or a later time: one that is missing begins when they are set forward,
    and of one that comes twice the first counts. So a later local time never has an earlier instant."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return at if to_local_time(at, zone) == local else _set_forward(local, zone, at)


def _set_forward(missing: datetime, zone: ZoneInfo, later: datetime) -> datetime:
    """`later` is `missing` by the offset before the change, which is after it; by the offset after, it is before it."""
    earlier = missing.replace(tzinfo=zone, fold=1).astimezone(UTC)
    seconds = range(int((later - earlier).total_seconds()))
    shown = bisect_left(seconds, missing, key=lambda second: to_local_time(earlier + timedelta(seconds=second), zone))
    return earlier + timedelta(seconds=shown)
