"""When a rule is due: what happens at a local time, as instants. Asked for recurring sends and scheduled digests.

A local time that clocks skip is due when they are set forward, together with whatever else they skip there; one that
comes twice is due the first time. The rules of the two edges are those of `local_times.instant`.
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import MAXYEAR, date, datetime, time

from domain.cron import Cron
from domain.local_times import load_zone, to_instant, to_local_time


def next_due(rule: Cron, zone: str, after: datetime) -> datetime:
    """The first instant after `after`, both in UTC. ValueError for a zone that is none."""
    zone_info = load_zone(zone)
    # All before what clocks show now has been due. So has that itself, and in the repeated hour more: passed by below.
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
