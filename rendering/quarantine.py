"""Refuse templates and schemas for a while that had to be stopped twice. Pure; used by `renderer`."""

import time
from collections import OrderedDict
from collections.abc import Callable

STOP_LIMIT = 2
QUARANTINE_SECONDS = 300.0
MAX_ENTRIES = 1_000


class Quarantine:
    """Remember the last SIZE stopped sources, for SECONDS after the last time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def record_stop(self, key: bytes) -> None:
        self._stopped[key] = self._stop_count(key) + 1, self._clock()
        self._stopped.move_to_end(key)
        if len(self._stopped) > MAX_ENTRIES:
            self._stopped.popitem(last=False)

    def refuses(self, key: bytes) -> bool:
        return self._stop_count(key) >= STOP_LIMIT

    def _stop_count(self, key: bytes) -> int:
        stops, last_stop = self._stopped.get(key, (0, 0.0))
        return stops if self._clock() - last_stop < QUARANTINE_SECONDS else 0
