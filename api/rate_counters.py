"""Counters of the rate limits: in this process, or in a Redis that several processes share."""

import asyncio
import time
from typing import Protocol

import structlog
from limits.aio.storage import MemoryStorage, Storage
from limits.errors import StorageError
from limits.storage import storage_from_string

from config_sources import WrongSettings

# Counters that a process keeps; the oldest gives way. They outlast every minute in which fewer callers come.
CAPACITY = 20_000
ANSWERS_WITHIN = 0.25  # seconds
RETRY_AFTER = 5.0

log = structlog.get_logger(__name__)


class Counters(Protocol):
    async def incr(self, key: str, expiry: int, amount: int = 1) -> int: ...


class BoundedMemory(MemoryStorage):
    """The parent looks at all its counters in a task after each increment, and has no bound."""

    STORAGE_SCHEME = ["async+bounded-memory"]

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._capacity = capacity

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.monotonic()
        if self.expirations.get(key, 0.0) <= now:
            self._drop(key)
            while len(self.storage) >= self._capacity:
                self._drop(next(iter(self.storage)))
            self.expirations[key] = now + expiry
        self.storage[key] += amount
        return self.storage[key]

    def _drop(self, key: str) -> None:
        self.storage.pop(key, None)
        self.expirations.pop(key, None)


class SharedCounters:
    """Counts in Redis. While it does not answer each process counts for itself, because an outage of the store must not
    stop the API that the limits protect."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import ConnectionPool
        except ImportError:
            raise WrongSettings("TOCSIN_RATE_LIMIT_STORE needs the package 'redis'") from None
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=ANSWERS_WITHIN, socket_connect_timeout=ANSWERS_WITHIN, retry=None
        )
        self._redis = _storage(url, self._pool)
        self._memory = BoundedMemory()
        self._down_until = 0.0
        self.is_up = True

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        if self.is_up or time.monotonic() >= self._down_until:
            try:
                async with asyncio.timeout(ANSWERS_WITHIN):
                    count = await self._redis.incr(key, expiry, amount)
            except (StorageError, TimeoutError) as error:
                self._went_down(error)
            else:
                self._came_up()
                return count
        return await self._memory.incr(key, expiry, amount)

    def _went_down(self, error: Exception) -> None:
        self._down_until = time.monotonic() + RETRY_AFTER
        if self.is_up:
            log.warning("the store of rate limits does not answer; this process counts alone", error=_name(error))
        self.is_up = False

    def _came_up(self) -> None:
        if not self.is_up:
            log.info("the store of rate limits answers again")
        self.is_up = True

    async def close(self) -> None:
        await self._pool.aclose()


def _name(error: Exception) -> str:
    """The text of an error may hold the URL, and with it a password."""
    return type(error.__cause__ or error).__name__


def _storage(url: str, pool: object) -> Storage:
    options = {"implementation": "redispy", "wrap_exceptions": True, "connection_pool": pool, "key_prefix": "tocsin"}
    storage = storage_from_string(f"async+{url}", **options)  # type: ignore[arg-type]
    if not isinstance(storage, Storage):
        raise WrongSettings("TOCSIN_RATE_LIMIT_STORE must be a redis:// URL")
    return storage
