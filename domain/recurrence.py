"""Compute the instants of rules in local time. Used for recurring sends and scheduled digests.

A local time that clocks skip is due when they are set forward, together with all other skipped times; a time that
occurs twice is due the first time. The rules of both changes are those of `local_times.to_instant`.
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import MAXYEAR, date, datetime, time

from domain.cron import Cron
from domain.local_times import load_zone, to_instant, to_local_time


def next_due(rule: Cron, zone: str, after: datetime) -> datetime:
    """Return the first instant after `after`, both in UTC. ValueError for an unknown zone."""
    zone_info = load_zone(zone)
    # Times before the present local time have been due. So has the present one, and more in a repeated hour: skipped
    # below.
    start = to_local_time(after, zone_info).replace(second=0, microsecond=0)
    for local in _local_times(rule, start):
        due = to_instant(local, zone_info)
        if due > after:
            return due
    raise ValueError("is not due again in this calendar")


def upcoming(rule: Cron, zone: str, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    for _ in range(count):
        after = next_due(rule, zone, after)
        found.append(after)
    return found


def _local_times(rule: Cron, start: datetime) -> Iterator[datetime]:
    for day in _days(rule, start.date()):
        first = start.time() if day == start.date() else time.min
        for hour in rule.hours:
            if hour < first.hour:
                continue
            for minute in rule.minutes:
                if hour > first.hour or minute >= first.minute:
                    yield datetime.combine(day, time(hour, minute))


def _days(rule: Cron, first: date) -> Iterator[date]:
    for year in range(first.year, MAXYEAR + 1):
        for month in rule.months:
            if (year, month) < (first.year, first.month):
                continue
            for number in range(1, monthrange(year, month)[1] + 1):
                day = date(year, month, number)
                if day >= first and rule.falls_on(day):
                    yield day
