"""Limit the open connections of the API and choose which are closed to make room. Used by the HTTP protocol."""

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import structlog

from api.limits.source_limits import Sources
from metrics.engine import ReachedLimit, count_ignored_forwarded_for, count_limit_reached
from supervision.process_flags import release_free_memory

SWEEP_INTERVAL = 0.5
# A connection that has waited less is not closed to make room, because a genuine request arrives sooner.
EVICTION_GRACE = 1.0
# Number of closed connections that justifies the milliseconds of returning memory to the system.
MEMORY_RELEASE_THRESHOLD = 200
# To make room, one in this many connections is closed at a time.
EVICTION_DIVISOR = 20
MAX_LOGGED_PEERS = 100  # bounded, because any client can send the field

log = structlog.get_logger(__name__)


class Phase(Enum):
    """Name the phases of a connection. In all phases but RESPONSE it waits for its client."""

    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    RESPONSE = auto()


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Times in seconds and sizes in bytes. `per_source` 0 is no limit."""

    connections: int = 2_000
    per_source: int = 100
    header_timeout: float = 10
    body_timeout: float = 30
    idle_timeout: int = 75
    header_size: int = 32 * 1024
    headers: int = 100
    trusted_networks: tuple[str, ...] = ()


class Connection(Protocol):
    """Define the members of a connection that the registry uses. `since` is when its phase began, by the clock of the
    event loop."""

    phase: Phase
    since: float
    source: str | None

    def check(self, now: float) -> None:
        """Close the connection if its client is too slow."""

    def close(self) -> None: ...


class Connections:
    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.sources = Sources(limits.trusted_networks)
        self.ignored_forwarded_headers = IgnoredForwardedHeaders()
        self._open: dict[Connection, None] = {}
        self._by_source = Counter[str]()
        self._next_eviction_search = 0.0
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._peak_count = 0  # most connections at a time since memory was last returned

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection, now: float) -> ReachedLimit | None:
        """Register a connection. Return the limit that refuses it, or None. Make room by closing the connections that
        have waited longest."""
        source = connection.source
        if source is not None and 0 < self.limits.per_source <= self._by_source[source]:
            return ReachedLimit.CONNECTIONS_PER_SOURCE
        if len(self._open) >= self.limits.connections and not self._evict_waiting(now):
            return ReachedLimit.CONNECTIONS
        self._open[connection] = None
        if source is not None:
            self._by_source[source] += 1
        if self._sweep_timer is None:
            self._schedule_sweep()
        return None

    def remove(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        del self._open[connection]
        if (source := connection.source) is not None:
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]

    def _evict_waiting(self, now: float) -> bool:
        """Close unfinished requests first, then idle connections. Limit how often this searches, so that a flood costs
        little."""
        if now < self._next_eviction_search:
            return False
        waiting = [
            each for each in self._open if each.phase is not Phase.RESPONSE and now - each.since > EVICTION_GRACE
        ]
        waiting.sort(key=lambda each: (each.phase is Phase.IDLE, each.since))
        self._next_eviction_search = 0.0 if waiting else now + SWEEP_INTERVAL
        for each in waiting[: max(1, self.limits.connections // EVICTION_DIVISOR)]:
            count_limit_reached(ReachedLimit.CONNECTIONS)
            self.remove(each)
            each.close()
        return bool(waiting)

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(SWEEP_INTERVAL, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep_timer = None
        now = loop.time()
        for connection in list(self._open):
            connection.check(now)
        self._release_memory()
        if self._open:
            self._schedule_sweep()

    def _release_memory(self) -> None:
        """Return memory to the system after a flood. Closed connections form reference cycles, and their buffers leave
        gaps in the heap."""
        self._peak_count = max(self._peak_count, len(self._open))
        if self._peak_count >= MEMORY_RELEASE_THRESHOLD and len(self._open) <= self._peak_count // 4:
            self._peak_count = len(self._open)
            gc.collect()
            release_free_memory()


class IgnoredForwardedHeaders:
    """Report X-Forwarded-For from an address that is not a trusted proxy. It is ignored, and the operator must learn of
    it."""

    def __init__(self) -> None:
        self._logged = set[str]()

    def record(self, peer: str) -> None:
        """Count the request, and log the first one of each peer."""
        count_ignored_forwarded_for()
        if peer in self._logged or len(self._logged) >= MAX_LOGGED_PEERS:
            return
        self._logged.add(peer)
        log.warning("X-Forwarded-For is ignored; a reverse proxy must be in TOCSIN_TRUSTED_PROXIES", peer=peer)
