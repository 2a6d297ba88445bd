"""Limit the starts of workflows by a token bucket at the start rate, so that a backlog waits in Postgres."""

import time
from collections.abc import Callable

BURST_SECONDS = 0.2


class TokenBucket:
    """Fill at `rate` per second; 0 is no limit. `clock` returns monotonic seconds."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._tokens = self._burst
        self._filled_at = clock()

    def available(self, limit: int) -> int:
        """Return how many may start now, at most `limit`."""
        if self._rate == 0:
            return limit
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return min(limit, int(self._tokens))

    def spend(self, starts: int) -> None:
        self._tokens -= starts if self._rate else 0

    def seconds_to_next(self) -> float:
        """Return the seconds until several may start: a statement for each one would cost too much."""
        missing = self._burst - self._tokens
        return max(0.01, missing / self._rate) if self._rate else 0.0
