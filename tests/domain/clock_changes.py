"""Compute by brute force what local clocks show minute by minute around a change."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
AROUND = timedelta(days=2)

# The hour of the change in UTC. Zones with settled rules: in the past, or unchanged for long.
CHANGES = {
    "Europe/Vienna forward": ("Europe/Vienna", "2026-03-29T01:00Z"),
    "Europe/Vienna back": ("Europe/Vienna", "2026-10-25T01:00Z"),
    "America/New_York forward": ("America/New_York", "2026-03-08T07:00Z"),
    "America/New_York back": ("America/New_York", "2026-11-01T06:00Z"),
    "half an hour forward": ("Australia/Lord_Howe", "2025-10-04T15:30Z"),
    "half an hour back": ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    "two hours forward": ("Antarctica/Troll", "2025-03-30T01:00Z"),
    "two hours back": ("Antarctica/Troll", "2025-10-26T01:00Z"),
    "quarter of an hour": ("Pacific/Chatham", "2025-09-27T14:00Z"),
    "midnight forward": ("America/Sao_Paulo", "2018-11-04T03:00Z"),
    "midnight back": ("America/Sao_Paulo", "2019-02-17T02:00Z"),
    "a minute after midnight": ("America/St_Johns", "2010-11-07T02:31Z"),
    "a skipped day": ("Pacific/Apia", "2011-12-30T10:00Z"),
    "no change": ("Asia/Kathmandu", "2026-01-01T00:00Z"),
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@cache
def latest_shown(change: str) -> list[tuple[datetime, datetime]]:
    """Yield each minute in UTC, with the latest local time that clocks have shown so far: constant while they
    repeat, with a jump where they skip."""
    zone, around = CHANGES[change]
    start = utc(around) - AROUND
    shown = datetime.min  # noqa: DTZ901
    rows: list[tuple[datetime, datetime]] = []
    for number in range(2 * AROUND // MINUTE):
        at = start + number * MINUTE
        shown = max(shown, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0))
        rows.append((at, shown))
    return rows
