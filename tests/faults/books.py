"""Reads a stack's Postgres past the product: our rows and the sandbox's ledger, as SQL shows them."""

from typing import Any

import asyncpg

from tests.polling import eventually

LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Books:
    """One connection, made again when Postgres was restarted meanwhile."""

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("postgresql+asyncpg", "postgresql", 1)
        self._connection: asyncpg.Connection | None = None

    async def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await (await self._connected()).fetch(sql, *values)]

    async def one(self, sql: str, *values: Any) -> Any:
        return await (await self._connected()).fetchval(sql, *values)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def until(self, sql: str, *values: Any, is_: Any, within: float) -> None:
        """Waits until the one value is so; outlives an outage of Postgres."""

        async def look() -> Any:
            try:
                return await self.one(sql, *values)
            except LOST as error:
                return error

        await eventually(look, lambda seen: bool(seen == is_), within)

    async def sent(self, ids: list[str]) -> int:
        """How many messages of these notifications the sandbox has in its ledger."""
        count = await self.one("SELECT count(*) FROM sandbox_message WHERE notification_id::text = ANY($1)", ids)
        return int(count)

    async def statuses(self, ids: list[str]) -> dict[str, str]:
        rows = await self.rows("SELECT id::text, status FROM notification WHERE id::text = ANY($1)", ids)
        return {row["id"]: row["status"] for row in rows}

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=15)
        return self._connection
