"""Which templates and schemas are refused for a while, since they had to be stopped twice. Pure; used by `renderer`."""

import time
from collections import OrderedDict
from collections.abc import Callable

STRIKES = 2
SECONDS = 300.0
SIZE = 1_000


class Quarantine:
    """Remembers the last SIZE that were stopped, for SECONDS after the last time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def add_strike(self, key: bytes) -> None:
        self._stopped[key] = self._strikes(key) + 1, self._clock()
        self._stopped.move_to_end(key)
        if len(self._stopped) > SIZE:
            self._stopped.popitem(last=False)

    def refuses(self, key: bytes) -> bool:
        return self._strikes(key) >= STRIKES

    def _strikes(self, key: bytes) -> int:
        strikes, last = self._stopped.get(key, (0, 0.0))
        return strikes if self._clock() - last < SECONDS else 0
