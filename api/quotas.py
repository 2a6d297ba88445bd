"""What a limit per minute allows, and how its end is answered. Used by `rate_limits.py` and `source_limits.py`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.problems import Problem
from metrics.engine import Limit, limit_reached

WINDOW = 60  # seconds; a new one begins with every minute


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """`limit` units per minute, 0: no limit; `name` in header fields; `owner` and `unit` in sentences."""

    name: str
    owner: str
    limit: int
    reached: Limit
    unit: str = "points"

    @property
    def policy(self) -> str:
        return f'"{self.name}";q={self.limit};w={WINDOW}'

    def exceeded(self, left: int) -> Problem:
        """`left`: seconds of this minute."""
        limit_reached(self.reached)
        used = f"The {self.owner} has used its {self.limit} {self.unit} of this minute"
        return Problem(429, f"{used}; repeat the request in {left} s.", headers={"Retry-After": str(left)})


class Minutes:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def now(self) -> tuple[int, int]:
        """The number of the minute, and the seconds until the next one."""
        window, passed = divmod(self._clock(), WINDOW)
        return int(window), math.ceil(WINDOW - passed)
