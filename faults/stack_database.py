"""Read a stack's Postgres directly: Tocsin's rows and the sandbox's log, in SQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.polling import DEFAULT_TIMEOUT, eventually

COUNT_LOCK_WAITERS = """
SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.relation = $1::text::regclass AND NOT l.granted AND a.query LIKE $2
"""
CONNECTION_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class StackDatabase:
    """Use one connection, reopened after a restart of Postgres."""

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("postgresql+asyncpg", "postgresql", 1)
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()

    async def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        async with self._lock:
            return [dict(row) for row in await (await self._connected()).fetch(sql, *values)]

    async def one(self, sql: str, *values: Any) -> Any:
        async with self._lock:
            return await (await self._connected()).fetchval(sql, *values)

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Lock a table by a separate connection: others can read it and wait to write to it."""
        connection = await asyncpg.connect(self._dsn, timeout=5)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            yield
        await connection.close()

    async def waiting(self, table: str, clients: int, query: str = "%", within: float = 15) -> None:
        """Wait until this many connections wait with such a statement to write to a locked table."""

        async def enough() -> bool:
            return int(await self.one(COUNT_LOCK_WAITERS, table, query)) >= clients

        await self.until_true(enough, within)

    async def take_all_connections(self) -> list[asyncpg.Connection]:
        """Occupy all connections of Tocsin and all free ones. The caller closes them."""
        taken: list[asyncpg.Connection] = []
        await self.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tocsin'")
        while True:
            try:
                taken.append(await asyncpg.connect(self._dsn, timeout=5))
            except asyncpg.TooManyConnectionsError:
                return taken

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def until(self, sql: str, *values: Any, is_: Any, within: float = DEFAULT_TIMEOUT) -> None:
        """Wait until the value is as expected, across an outage of Postgres."""

        async def look() -> Any:
            try:
                return await self.one(sql, *values)
            except CONNECTION_ERRORS as error:
                return error

        await eventually(look, lambda seen: bool(seen == is_), within)

    async def until_true(self, condition: Callable[[], Awaitable[bool]], within: float = DEFAULT_TIMEOUT) -> None:
        """Wait for a condition that reads more than one value."""

        async def look() -> Any:
            try:
                return await condition()
            except CONNECTION_ERRORS as error:
                return error

        await eventually(look, lambda seen: seen is True, within)

    async def count_sent(self, ids: list[str]) -> int:
        """Count the sandbox's messages of these notifications."""
        count = await self.one("SELECT count(*) FROM sandbox_message WHERE notification_id::text = ANY($1)", ids)
        return int(count)

    async def statuses(self, ids: list[str]) -> dict[str, str]:
        rows = await self.rows("SELECT id::text, status FROM notification WHERE id::text = ANY($1)", ids)
        return {row["id"]: row["status"] for row in rows}

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=15)
        return self._connection
