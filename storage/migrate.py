"""Brings a database to the newest revision. Called by bootstrap; several processes may call it at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7_201_535


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


async def migrate(url: str, revision: str = "head") -> None:
    """`url` is `postgresql+asyncpg://…`. One at a time: the others wait for the lock and find nothing to do."""
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        await connection.run_sync(_run, revision)
        await connection.commit()
    await engine.dispose()


def _run(connection: Connection, revision: str) -> None:
    config = alembic_config(connection)
    command.downgrade(config, revision) if revision == "base" else command.upgrade(config, revision)
