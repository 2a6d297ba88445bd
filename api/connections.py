"""The open connections of the API: how many there may be, and which of them give way. Used by the HTTP protocol."""

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from api.forwarded_for import IgnoredForwards
from api.sources import Sources
from metrics.engine import Limit, limit_reached
from process_flags import return_free_memory

SWEEP_INTERVAL = 0.5
# A connection that has waited less is not closed to make room: an honest request arrives sooner.
GRACE = 1.0
# Connections whose end is worth the milliseconds that it takes to give back memory.
FLOOD = 200
# Of all connections, those that are closed at a time to make room.
SHARE = 20


class Phase(Enum):
    """What a connection does. It waits for its client in all but the last one."""

    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    RESPONSE = auto()


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Times in seconds, sizes in bytes. `per_source` 0: no limit."""

    connections: int = 2_000
    per_source: int = 100
    header_timeout: float = 10
    body_timeout: float = 30
    idle_timeout: int = 75
    header_size: int = 32 * 1024
    headers: int = 100
    proxies: tuple[str, ...] = ()


class Connection(Protocol):
    """What this module knows of a connection. `since`: when its phase began, by the clock of the event loop."""

    phase: Phase
    since: float
    source: str | None

    def check(self, now: float) -> None:
        """End it if its client is too slow."""

    def close(self) -> None: ...


class Connections:
    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.sources = Sources(limits.proxies)
        self.ignored_forwards = IgnoredForwards()
        self._open: dict[Connection, None] = {}
        self._by_source = Counter[str]()
        self._next_search = 0.0
        self._sweeping: asyncio.TimerHandle | None = None
        self._most = 0  # connections at a time since memory was last given back

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection, now: float) -> Limit | None:
        """Return the limit that keeps it out. Room is made by closing those that have waited longest."""
        source = connection.source
        if source is not None and 0 < self.limits.per_source <= self._by_source[source]:
            return Limit.CONNECTIONS_PER_SOURCE
        if len(self._open) >= self.limits.connections and not self._make_room(now):
            return Limit.CONNECTIONS
        self._open[connection] = None
        if source is not None:
            self._by_source[source] += 1
        if self._sweeping is None:
            self._sweep_later()
        return None

    def remove(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        del self._open[connection]
        if (source := connection.source) is not None:
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]

    def _make_room(self, now: float) -> bool:
        """Close unfinished requests first, then idle connections. Search seldom, so that a flood costs little."""
        if now < self._next_search:
            return False
        waiting = [each for each in self._open if each.phase is not Phase.RESPONSE and now - each.since > GRACE]
        waiting.sort(key=lambda each: (each.phase is Phase.IDLE, each.since))
        self._next_search = 0.0 if waiting else now + SWEEP_INTERVAL
        for each in waiting[: max(1, self.limits.connections // SHARE)]:
            limit_reached(Limit.CONNECTIONS)
            self.remove(each)
            each.close()
        return bool(waiting)

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(SWEEP_INTERVAL, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = None
        now = loop.time()
        for connection in list(self._open):
            connection.check(now)
        self._give_back_memory()
        if self._open:
            self._sweep_later()

    def _give_back_memory(self) -> None:
        """After a flood of connections, which refer to themselves and whose buffers leave gaps in the heap."""
        self._most = max(self._most, len(self._open))
        if self._most >= FLOOD and len(self._open) <= self._most // 4:
            self._most = len(self._open)
            gc.collect()
            return_free_memory()
