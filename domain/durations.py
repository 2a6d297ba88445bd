"""Parse and format the durations of types: `30s`, `10m`, `1h`, `3d`."""

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
UNIT_SECONDS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))  # in seconds
# A present time plus this duration must be valid in Python and Postgres.
MAX_DURATION = timedelta(days=36_500)
PATTERN = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError("must be a whole number followed by s, m, h or d, such as 30s, 10m, 1h or 3d")
    duration = timedelta(**{UNITS[match[2]]: int(match[1])})
    if duration > MAX_DURATION:
        raise ValueError("must not be longer than a hundred years")
    return duration


def format_exact(duration: timedelta) -> str:
    """Format a duration for `parse_duration`, in the largest unit that it is a multiple of."""
    seconds = int(duration.total_seconds())
    unit, length = next((unit, length) for unit, length in UNIT_SECONDS if seconds % length == 0)
    return f"{seconds // length}{unit}"


def format_rounded(duration: timedelta) -> str:
    """Format a duration for people in the largest unit that fits: `59s`, `4m`, `3d`."""
    seconds = max(0, int(duration.total_seconds()))
    unit, length = next(((unit, length) for unit, length in UNIT_SECONDS if seconds >= length), ("s", 1))
    return f"{seconds // length}{unit}"
