"""Define limits per minute and the response when one is exceeded. Used by `rate_limits.py` and `source_limits.py`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.problems import Problem
from metrics.engine import ReachedLimit, count_limit_reached

WINDOW_SECONDS = 60  # a new window begins with every minute


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """`limit` units per minute; 0 is no limit. `name` is used in header fields, `owner` and `unit` in messages."""

    name: str
    owner: str
    limit: int
    metric: ReachedLimit
    unit: str = "points"

    @property
    def policy(self) -> str:
        return f'"{self.name}";q={self.limit};w={WINDOW_SECONDS}'

    def exceeded(self, seconds_left: int) -> Problem:
        """Return the problem of an exceeded limit. `seconds_left` is the rest of this minute."""
        count_limit_reached(self.metric)
        used = f"The {self.owner} has used its {self.limit} {self.unit} for this minute"
        return Problem(429, f"{used}; retry in {seconds_left} s.", headers={"Retry-After": str(seconds_left)})


class FixedWindowClock:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def now(self) -> tuple[int, int]:
        """Return the number of the minute, and the seconds until the next one."""
        window, passed = divmod(self._clock(), WINDOW_SECONDS)
        return int(window), math.ceil(WINDOW_SECONDS - passed)
