"""Connections notice that the other side is gone, and a transaction of a process that stands still ends."""

import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from storage.connections import SERVER_SETTINGS, SOCKET_OPTIONS, is_outage, socket_of
from storage.database import Database
from tests.polling import eventually

pytestmark = pytest.mark.postgres


@pytest.fixture(params=["pool", "dedicated"])
async def connection(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[asyncpg.Connection]:
    if request.param == "pool":
        async with database.engine.connect() as pooled:
            yield (await pooled.get_raw_connection()).driver_connection  # type: ignore[misc]
        return
    dedicated = await database.dedicated()
    yield dedicated
    await dedicated.close()


async def test_both_sides_of_a_connection_probe_the_other(connection: asyncpg.Connection) -> None:
    sock = socket_of(connection)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = {name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in SOCKET_OPTIONS}
    assert options == SOCKET_OPTIONS
    for name, value in SERVER_SETTINGS.items():
        shown = await connection.fetchval("SELECT current_setting($1)", name)
        assert shown.removesuffix("s") == value.removesuffix("s"), name


async def test_a_transaction_of_a_stalled_process_is_an_outage(database: Database) -> None:
    async with database.transaction() as session:
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))

        async def is_gone() -> bool:
            async with database.transaction() as another:
                found = await another.execute(text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid})
                return found.first() is None

        await eventually(is_gone, bool)
        with pytest.raises(DBAPIError) as ended:
            await session.execute(text("SELECT 1"))
        assert is_outage(ended.value)
        await session.invalidate()
