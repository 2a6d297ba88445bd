"""Limit how far back the periodic queries for due rows look. Used by the dispatcher."""

import math
import time
from datetime import timedelta


class LookBackWindow:
    """Limit how far back a query for due rows looks. Older index entries are dead: they stay while an old
    transaction is open anywhere in the database."""

    # Longer than any transaction that writes an entry.
    MARGIN = timedelta(minutes=2)
    FULL_SCAN = timedelta(days=10_000)
    FULL_SCAN_INTERVAL = 30.0

    def __init__(self) -> None:
        self._drained_at: float | None = None
        self._full_scan_at = -math.inf

    def look_back(self) -> timedelta:
        """Return how far back to look for due rows. Every 30 s there is no limit, so that a row written with an earlier
        due time is found late, but found."""
        now = time.monotonic()
        if self._drained_at is None or now - self._full_scan_at > self.FULL_SCAN_INTERVAL:
            self._full_scan_at = now
            return self.FULL_SCAN
        return timedelta(seconds=now - self._drained_at) + self.MARGIN

    def mark_drained(self) -> None:
        """Record that no due row is left."""
        self._drained_at = time.monotonic()
