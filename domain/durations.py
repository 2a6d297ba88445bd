"""Durations as people write them in a type: `30s`, `10m`, `1h`, `3d`."""

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
PATTERN = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError("must be a whole number followed by s, m, h or d, such as 30s, 10m, 1h or 3d")
    try:
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise ValueError("is longer than any calendar") from None
