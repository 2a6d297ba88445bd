"""Parse cron rules such as `0 9 * * mon-fri`: minutes of local days. `domain/recurrence.py` turns them into
instants."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date

FIELD_PATTERN = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?)(?:/(?P<step>[0-9]{1,2}))?"
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LAST_DAY = "l"
LEAP_YEAR = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Cron:
    """Hold a rule; values are sorted and unique. A weekday is 0 on Sundays. `last_day` is the last day of each
    month, in addition to `days`. `matches_either`: a day of the month or a weekday is enough, because both fields
    restrict."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    last_day: bool
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    matches_either: bool

    def falls_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month = day.day in self.days or (self.last_day and day.day == monthrange(day.year, day.month)[1])
        in_week = day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.matches_either else (in_month and in_week)

    @property
    def is_ever_due(self) -> bool:
        """Return whether the rule is ever due. Every day of the year falls on every weekday sooner or later, 29
        February too."""
        return (
            self.matches_either
            or self.last_day
            or any(self.days[0] <= monthrange(LEAP_YEAR, m)[1] for m in self.months)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CronField:
    """Define a field of the rule and its valid values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def parse(self, text: str) -> tuple[int, ...]:
        return tuple(sorted({number for part in text.split(",") for number in self._part(part)}))

    def _part(self, text: str) -> range:
        match = FIELD_PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"{self.name}: {text[:40]!r} is none of *, 5, 1-5, */5 and 10-40/10, or a list of them")
        first, last, step = match.group("first", "last", "step")
        if step and first and not last:
            raise ValueError(f"{self.name}: a step needs a range, such as */{step} or {first}-{self.high}/{step}")
        low = self._number(first) if first else self.low
        high = self._number(last or first) if first else self.high
        if high == 0 < low and self.names == WEEKDAYS:
            high = 7  # fri-sun
        if low > high:
            raise ValueError(f"{self.name}: {text} runs backwards; write two ranges with a comma between them")
        return range(low, high + 1, self._step(step) if step else 1)

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        if not text.isdigit() or not self.low <= int(text) <= self.high:
            named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f"{self.name}: {text} must be {self.low} to {self.high}{named}")
        return int(text)

    def _step(self, text: str) -> int:
        """Parse a step. A step beyond the field would be due once, which is never what */90 intends."""
        if not 1 <= int(text) <= self.high:
            raise ValueError(f"{self.name}: a step must be 1 to {self.high}, not {text}")
        return int(text)


MINUTE = CronField(name="minute", low=0, high=59)
HOUR = CronField(name="hour", low=0, high=23)
DAY = CronField(name="day of the month", low=1, high=31)
MONTH = CronField(name="month", low=1, high=12, names=MONTHS)
WEEKDAY = CronField(name="day of the week", low=0, high=7, names=WEEKDAYS)


def parse_cron(text: str) -> Cron:
    """Parse a rule. Raise ValueError, with a sentence for its author, for invalid rules and rules that are never
    due."""
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError("must have five fields, such as 0 9 * * mon-fri: minute, hour, day, month, day of the week")
    minute, hour, day, month, weekday = fields
    days = [part for part in day.split(",") if part != LAST_DAY]
    rule = Cron(
        minutes=MINUTE.parse(minute),
        hours=HOUR.parse(hour),
        days=DAY.parse(",".join(days)) if days else (),
        last_day=LAST_DAY in day.split(","),
        months=MONTH.parse(month),
        weekdays=tuple(sorted({number % 7 for number in WEEKDAY.parse(weekday)})),
        matches_either=not day.startswith("*") and not weekday.startswith("*"),
    )
    if not rule.is_ever_due:
        raise ValueError("is never due: none of its months has such a day")
    return rule


def tick_interval(rule: Cron) -> int:
    """Return the longest interval of ticks at which no time is late. In UTC: zones differ by multiples of 15
    minutes."""
    return next((interval for interval in (15, 5) if all(minute % interval == 0 for minute in rule.minutes)), 1)
