"""Compute daily windows in a zone: quiet hours, which hold what can wait, and send windows, outside of which nothing
is sent. Checked before a send, and to schedule the end of a hold.

Both daylight-saving changes follow `local_times.to_instant`: a window lasts from the instant at which it starts to
the one at which it ends, whatever local clocks show in between. In a repeated hour a time may be quiet although
clocks show a time outside the window, and the reverse; but no window has two ends.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from domain.local_times import load_zone, to_instant, to_local_time

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
DAY = timedelta(days=1)
MAX_QUIET_DAYS = 8  # maximum of consecutive days whose windows touch
# A weekly window may fall into a skipped hour: then the window of the week after is next.
MAX_CLOSED_DAYS = 15

Span = tuple[datetime, datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyWindow:
    """Hold a window from `start` to before `end`, over midnight if that is earlier. `days` (0 is Monday) are those
    on which it starts; None: all. ValueError for a window without length or days."""

    start: time
    end: time
    days: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError("must not start and end at the same time")
        if self.days is not None and not self.days:
            raise ValueError("must be on one day at least")

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> Self:
        """Parse `{"start": "22:00", "end": "07:00", "days"?: ["mon"]}`; ValueError for other times and days."""
        days = spec.get("days")
        return cls(
            start=_time_of_day(spec["start"]),
            end=_time_of_day(spec["end"]),
            days=None if days is None else frozenset(_day(name) for name in days),
        )

    def spans(self, zone: ZoneInfo, at: datetime, days: int) -> Iterator[Span]:
        """Yield spans in order, from the one that may still run `at` this instant to those that start this many days
        later. If clocks are set forward over all of a span, it is empty, and two may touch."""
        today = to_local_time(at, zone).date()
        for day in (today + number * DAY for number in range(-1, days + 1)):
            if self.days is None or day.weekday() in self.days:
                last = day if self.start < self.end else day + DAY
                yield (
                    to_instant(datetime.combine(day, self.start), zone),
                    to_instant(datetime.combine(last, self.end), zone),
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours(DailyWindow):
    timezone: str | None = None

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> Self:
        """Parse a window with `timezone`."""
        window = DailyWindow.from_json(spec)
        return cls(start=window.start, end=window.end, days=window.days, timezone=spec.get("timezone"))


@dataclass(frozen=True, kw_only=True, slots=True)
class SendWindow(DailyWindow):
    """Define when a type or a tenant sends."""


def quiet_hours_end(hours: QuietHours, zone: str, at: datetime) -> datetime | None:
    """Return None if `at` is not quiet; else the first instant that is not, or the end of eight days. `zone` is for
    hours without their own. ValueError for an unknown zone."""
    until = at
    for start, end in hours.spans(load_zone(hours.timezone or zone), at, MAX_QUIET_DAYS):
        if start > until:
            break
        until = max(until, end)
    return None if until == at else until


def next_opening(window: SendWindow, zone: str, at: datetime) -> datetime | None:
    """Return None if the window is open `at` this instant, else when it opens next. ValueError for an unknown zone."""
    for start, end in window.spans(load_zone(zone), at, MAX_CLOSED_DAYS):
        if start < end and at < end:
            return start if at < start else None
    raise ValueError("is never open")


def _time_of_day(text: str) -> time:
    if not TIME_OF_DAY.fullmatch(text):
        raise ValueError("must be a time of day, such as 22:00")
    return time.fromisoformat(text)


def _day(name: str) -> int:
    if name not in DAYS:
        raise ValueError("must be mon, tue, wed, thu, fri, sat or sun")
    return DAYS.index(name)
