"""Store the counters of the rate limits in this process, or in a Redis that several processes share."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import structlog
from limits.aio.storage import MemoryStorage, Storage
from limits.errors import StorageError
from limits.storage import storage_from_string

from config.sources import InvalidSettings

# Counters that a process keeps; the oldest is dropped. A minute with fewer callers drops none.
MAX_COUNTERS = 20_000
RESPONSE_TIMEOUT = 0.25  # seconds
STORE_RETRY_INTERVAL = 5.0

PREFIX = "tocsin"
# One call checks all counters and then adds to all, or to none. Other processes do not see a refused charge.
CHARGE_SCRIPT = """
local result = {0}
for i, key in ipairs(KEYS) do
  local count = tonumber(redis.call('GET', key) or '0')
  if result[1] == 0 and count + tonumber(ARGV[2 * i]) > tonumber(ARGV[2 * i + 1]) then result[1] = i end
  result[i + 1] = count
end
if result[1] == 0 then
  for i, key in ipairs(KEYS) do
    result[i + 1] = redis.call('INCRBY', key, ARGV[2 * i])
    if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, ARGV[1]) end
  end
end
return result
"""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class Charge(NamedTuple):
    """An `amount` to add to a counter, if the counter stays within `limit`."""

    counter: str
    amount: int
    limit: int


class ChargeResult(NamedTuple):
    """The counts after the charges. `exceeded` is the index of the first charge over its limit; in that case no counter
    has changed."""

    counts: Sequence[int]
    exceeded: int | None


class Counters(Protocol):
    async def incr(self, key: str, expiry: int, amount: int = 1) -> int: ...

    async def charge(self, charges: Sequence[Charge], expiry: int) -> ChargeResult:
        """Add all charges, or none."""


class MemoryCounters(MemoryStorage):
    """Bounded counters in memory. The parent class is unbounded and scans all counters in a task after each
    increment."""

    STORAGE_SCHEME = ["async+bounded-memory"]

    def __init__(self, capacity: int = MAX_COUNTERS) -> None:
        super().__init__()
        self._capacity = capacity

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        if not self._count(key):
            self._drop(key)
            while len(self.storage) >= self._capacity:
                self._drop(next(iter(self.storage)))
            self.expirations[key] = time.monotonic() + expiry
        self.storage[key] += amount
        return self.storage[key]

    async def charge(self, charges: Sequence[Charge], expiry: int) -> ChargeResult:
        counts = [self._count(charge.counter) for charge in charges]
        for index, charge in enumerate(charges):
            if counts[index] + charge.amount > charge.limit:
                return ChargeResult(counts, index)
        return ChargeResult([await self.incr(charge.counter, expiry, charge.amount) for charge in charges], None)

    def _count(self, key: str) -> int:
        return self.storage[key] if self.expirations.get(key, 0.0) > time.monotonic() else 0

    def _drop(self, key: str) -> None:
        self.storage.pop(key, None)
        self.expirations.pop(key, None)


class SharedCounters:
    """Count in Redis. While it is unavailable each process counts on its own, because an outage of the store must not
    stop the API."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import ConnectionPool, Redis
            from redis.exceptions import RedisError
        except ImportError:
            raise InvalidSettings("TOCSIN_RATE_LIMIT_STORE needs the package 'redis'") from None
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=RESPONSE_TIMEOUT, socket_connect_timeout=RESPONSE_TIMEOUT, retry=None
        )
        self._redis = _open_storage(url, self._pool)
        self._charge = Redis(connection_pool=self._pool).register_script(CHARGE_SCRIPT)
        self._errors = (StorageError, RedisError, TimeoutError)
        self._memory = MemoryCounters()
        self._down_until = 0.0
        self.is_up = True

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return await self._call_store(
            lambda: self._redis.incr(key, expiry, amount), lambda: self._memory.incr(key, expiry, amount)
        )

    async def charge(self, charges: Sequence[Charge], expiry: int) -> ChargeResult:
        return await self._call_store(
            lambda: self._charge_redis(charges, expiry), lambda: self._memory.charge(charges, expiry)
        )

    async def _charge_redis(self, charges: Sequence[Charge], expiry: int) -> ChargeResult:
        arguments = [expiry, *(value for charge in charges for value in (charge.amount, charge.limit))]
        first, *counts = await self._charge([f"{PREFIX}:{charge.counter}" for charge in charges], arguments)
        return ChargeResult(counts, first - 1 if first else None)

    async def _call_store(
        self, shared: Callable[[], Awaitable[Result]], local: Callable[[], Awaitable[Result]]
    ) -> Result:
        """Call Redis, or the memory of this process while Redis is unavailable."""
        if self.is_up or time.monotonic() >= self._down_until:
            try:
                async with asyncio.timeout(RESPONSE_TIMEOUT):
                    result = await shared()
            except self._errors as error:
                self._mark_down(error)
            else:
                self._mark_up()
                return result
        return await local()

    def _mark_down(self, error: Exception) -> None:
        self._down_until = time.monotonic() + STORE_RETRY_INTERVAL
        if self.is_up:
            log.warning("the rate limit store is unavailable; this process counts alone", error=_error_name(error))
        self.is_up = False

    def _mark_up(self) -> None:
        if not self.is_up:
            log.info("the rate limit store is available again")
        self.is_up = True

    async def close(self) -> None:
        await self._pool.aclose()


def _error_name(error: Exception) -> str:
    """Return the type of an error. Its text may contain the URL and its password."""
    return type(error.__cause__ or error).__name__


def _open_storage(url: str, pool: object) -> Storage:
    options = {"implementation": "redispy", "wrap_exceptions": True, "connection_pool": pool, "key_prefix": PREFIX}
    storage = storage_from_string(f"async+{url}", **options)  # type: ignore[arg-type]
    if not isinstance(storage, Storage):
        raise InvalidSettings("TOCSIN_RATE_LIMIT_STORE must be a redis:// URL")
    return storage
