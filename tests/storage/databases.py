"""Databases of one test or module, on the Postgres of the session. Each is a copy of one migrated template."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg

from config.encryption import EncryptionSettings
from storage.database import Database
from storage.encryption import Encryption
from storage.migrate import migrate

TEMPLATE = "migrated"
ENCRYPTION = Encryption.from_settings(EncryptionSettings(_env_file=None))  # the keys of development


@asynccontextmanager
async def empty_database(server_url: str) -> AsyncIterator[str]:
    """Yield the URL of a new database without tables on the server of `server_url`."""
    async with _dropped_database(server_url, template="template1") as url:
        yield url


@asynccontextmanager
async def own_database(server_url: str) -> AsyncIterator[Database]:
    """Yield a migrated database that no dispatcher reads."""
    async with _dropped_database(server_url, template=TEMPLATE) as url:
        database = Database(url, encryption=ENCRYPTION)
        try:
            yield database
        finally:
            await database.close()


async def create_template(server_url: str) -> None:
    """Migrate the database that the others are copied from. A copy takes a twentieth of the migrations' time."""
    await migrate(await create_database(server_url, TEMPLATE, template="template1"))


async def write_less(server_url: str) -> None:
    """Log no whole pages, which the first change of a page after each copy or removal of a database would do."""
    await _execute(server_url, "ALTER SYSTEM SET full_page_writes = off")
    await _execute(server_url, "SELECT pg_reload_conf()")


async def create_database(server_url: str, name: str, template: str = TEMPLATE) -> str:
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return f"{server_url.rpartition('/')[0]}/{name}"


@asynccontextmanager
async def _dropped_database(server_url: str, template: str) -> AsyncIterator[str]:
    name = f"own_{uuid4().hex}"
    url = await create_database(server_url, name, template)
    try:
        yield url
    finally:
        await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
