"""A database that nobody else uses, on the Postgres of the session: no dispatcher claims its rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg

from storage.database import Database
from storage.migrate import migrate


@asynccontextmanager
async def empty_database(beside: str) -> AsyncIterator[str]:
    """The URL of a new database on the server of `beside`."""
    name = f"own_{uuid4().hex}"
    await _execute(beside, f"CREATE DATABASE {name}")
    try:
        yield f"{beside.rpartition('/')[0]}/{name}"
    finally:
        await _execute(beside, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def own_database(beside: str) -> AsyncIterator[Database]:
    async with empty_database(beside) as url:
        await migrate(url)
        database = Database(url)
        try:
            yield database
        finally:
            await database.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
