"""The connection pool and its transactions. Built by bootstrap; the caller owns the transaction."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import Any

import asyncpg
import pydantic_core
from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import QueuePool

from metrics.engine import ReachedLimit, count_limit_reached
from storage.connections import SERVER_SETTINGS, PinnedConnections, enable_keepalive
from storage.encryption import Encryption, encryption_of
from storage.statements import QuickSession

POOL_TIMEOUT = 5
# Seconds that a delivery waits for a row which another transaction holds, with a connection of the pool. Then it is
# tried again later, and no attempt is used up.
LOCK_TIMEOUT = 1.0
PINNED_SHARE_DIVISOR = 2  # half of the pool at most


class PoolUsage:
    """Count the blocks of code that wait for a connection of the pool or hold one."""

    def __init__(self) -> None:
        self.active_blocks = 0

    @contextmanager
    def track_block(self) -> Iterator[None]:
        self.active_blocks += 1
        try:
            yield
        except PoolTimeout:
            count_limit_reached(ReachedLimit.DATABASE_POOL)
            raise
        finally:
            self.active_blocks -= 1


class Database:
    """`url` is `postgresql+asyncpg://…`. `pool_size` is the most connections that are open at a time; half of them stay
    open. Time-outs in seconds: 5 to connect or to wait for a connection, 15 for a statement. Without `encryption` no
    statement reads or writes a secret."""

    def __init__(
        self, url: str, *, pool_size: int = 40, application: str = "tocsin", encryption: Encryption | None = None
    ) -> None:
        self.url = url
        self._info = {"encryption": encryption}
        self._pool_size = pool_size
        self._permits: asyncio.Semaphore | None = None
        self._usage = PoolUsage()
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=(pool_size + 1) // 2,
            max_overflow=pool_size // 2,
            pool_timeout=POOL_TIMEOUT,
            pool_use_lifo=True,
            json_serializer=to_json,
            hide_parameters=True,  # they are personal data, and errors are logged
            connect_args={
                "timeout": 5,
                "command_timeout": 15,
                "server_settings": {"application_name": application, **SERVER_SETTINGS},
            },
        )
        event.listen(self.engine.sync_engine, "connect", _on_connect)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, info=self._info)
        self._pinned = PinnedConnections(self.engine, pool_size // PINNED_SHARE_DIVISOR)

    @cached_property
    def for_activities(self) -> "Database":
        """Return a view of the same pool that uses at most three quarters of its connections at a time. There may be
        hundreds of activities, and the background loops of the process need the rest."""
        limited = copy.copy(self)
        limited._permits = asyncio.Semaphore(max(self._pool_size * 3 // 4, 1))
        return limited

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open one transaction. It is committed at the end of the block and rolled back by any exception."""
        async with self._permit():
            await self._free_pool_connection()
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[QuickSession]:
        """Open a session for exactly one statement, which is its own transaction: one round trip instead of three."""
        async with self._driver() as driver:
            yield QuickSession(driver, self._info)

    @asynccontextmanager
    async def quick_transaction(self, lock_timeout: float | None = None) -> AsyncIterator[QuickSession]:
        """Open a transaction for hot paths that execute only text statements. If another transaction holds a row for
        longer than `lock_timeout` seconds, it ends with an error that counts as an outage."""
        lock_timeout_sql = "" if lock_timeout is None else f"; SET LOCAL lock_timeout = {lock_timeout * 1_000:.0f}"
        async with self._driver() as driver:
            await driver.execute(f"BEGIN{lock_timeout_sql}")  # one message for both
            session, is_committing = QuickSession(driver, self._info), False
            try:
                yield session
                is_committing = not session.is_rolled_back
            finally:
                await driver.execute("COMMIT" if is_committing else "ROLLBACK")

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._permit():
            connection, driver = await self._pinned.check_out()
            try:
                yield driver
            finally:
                await self._pinned.check_in(connection, driver)

    async def _free_pool_connection(self) -> None:
        """Release a kept connection if the pool has no other one, because a session cannot use a kept connection."""
        pool = self.engine.sync_engine.pool
        if self._pinned and isinstance(pool, QueuePool) and pool.checkedout() >= self._pool_size:
            await self._pinned.release()

    @asynccontextmanager
    async def _permit(self) -> AsyncIterator[None]:
        with self._usage.track_block():
            if self._permits is None:
                yield
                return
            await self._acquire(self._permits)
            try:
                yield
            finally:
                self._permits.release()

    async def _acquire(self, permits: asyncio.Semaphore) -> None:
        if not permits.locked():
            await permits.acquire()  # at once: a timer for each statement costs as much as the rest of this
            return
        try:
            async with asyncio.timeout(POOL_TIMEOUT):
                await permits.acquire()
        except TimeoutError:
            count_limit_reached(ReachedLimit.DATABASE_POOL)
            raise

    @property
    def encryption(self) -> Encryption:
        return encryption_of(self)

    @property
    def info(self) -> Mapping[Any, Any]:
        return self._info

    @property
    def connections_max(self) -> int:
        return self._pool_size

    @property
    def connections_in_use(self) -> int:
        pool = self.engine.sync_engine.pool
        return pool.checkedout() - len(self._pinned) if isinstance(pool, QueuePool) else 0

    @property
    def connections_waiting(self) -> int:
        """Return the number of transactions that wait for a connection."""
        return max(self._usage.active_blocks - self.connections_in_use, 0)

    async def dedicated(self) -> asyncpg.Connection:
        """Return a connection outside the pool for LISTEN, which belongs to one session."""
        dsn = self.url.replace("postgresql+asyncpg", "postgresql", 1)
        connection = await asyncpg.connect(dsn, timeout=5, command_timeout=15, server_settings=SERVER_SETTINGS)
        enable_keepalive(connection)
        return connection

    async def close(self) -> None:
        await self._pinned.close()
        await self.engine.dispose()


def _on_connect(connection: Any, _: object) -> None:
    enable_keepalive(connection.driver_connection)


def to_json(value: object) -> str:
    return pydantic_core.to_json(value).decode()
