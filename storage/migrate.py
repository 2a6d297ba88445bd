"""Brings a database to the newest revision. Called by bootstrap; several processes may call it at once."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_ID = 7_201_535
POLL_INTERVAL = 0.1  # seconds
# A migration that waits for a table blocks every later statement on it. It fails instead, and is run again.
SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', '5s', false)")
TRY_LOCK = text("SELECT pg_try_advisory_lock(:lock)")


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


class NewerSchemaError(Exception):
    """A later version of Tocsin has migrated this database."""


async def migrate(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` (`postgresql+asyncpg://…`). One process migrates; the others wait for the lock.

    They wait without a statement, because a running one has a snapshot, and building an index would wait for its end.
    """
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        while not await _try_lock(connection):  # noqa: ASYNC110 - by another process
            await asyncio.sleep(POLL_INTERVAL)
        await connection.execute(SET_LOCK_TIMEOUT)
        await connection.commit()
        await connection.run_sync(_run_migrations, revision)
        await connection.commit()
    await engine.dispose()


async def _try_lock(connection: AsyncConnection) -> bool:
    """Try to take the lock of the session, not of the transaction, because each migration has its own transactions."""
    locked = bool((await connection.execute(TRY_LOCK, {"lock": LOCK_ID})).scalar_one())
    await connection.commit()
    return locked


def _run_migrations(connection: Connection, revision: str) -> None:
    config = alembic_config(connection)
    try:
        command.downgrade(config, revision) if revision == "base" else command.upgrade(config, revision)
    except CommandError:  # all that alembic has to say of our own migrations: it does not know where the database is
        raise NewerSchemaError("the database was migrated by a newer version of Tocsin") from None
