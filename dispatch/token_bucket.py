"""How many may start now: a bucket that fills at the start rate, so that a backlog waits in Postgres."""

import time
from collections.abc import Callable

BURST_SECONDS = 0.2


class TokenBucket:
    """`rate` per second; 0 is no limit. `clock` in seconds, monotonic."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._tokens = self._burst
        self._filled_at = clock()

    def available(self, limit: int) -> int:
        """Whole starts allowed now, at most `most`."""
        if self._rate == 0:
            return limit
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return min(limit, int(self._tokens))

    def spend(self, starts: int) -> None:
        self._tokens -= starts if self._rate else 0

    def seconds_to_next(self) -> float:
        """Until a handful may start: one by one would cost a statement each."""
        missing = self._burst - self._tokens
        return max(0.01, missing / self._rate) if self._rate else 0.0
