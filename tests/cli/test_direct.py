"""Test commands that need the database: one line of error if it is unavailable, missing, or has an older schema than
the code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bootstrap import prepare_database
from commands import keys, tenants
from commands.database import run_migrations
from commands.errors import CommandError
from config import Settings
from storage.migrate import migrate
from tests.storage.databases import empty_database

pytestmark = pytest.mark.postgres

NOWHERE = "postgresql+asyncpg://127.0.0.1:1/none"
NO_URL = "set TOCSIN_DATABASE_URL, or start everything with 'make run'"


@pytest.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    async with empty_database(database_url) as url:
        yield url


def settings(url: str) -> Settings:
    return Settings(env="dev", database_url=url, temporal_address="127.0.0.1:1", _env_file=None)


async def made(url: str) -> str:
    """Return the output of the command that creates a first key."""
    await tenants.create(settings(url), "acme")
    return await keys.create(settings(url), "acme", "laptop", ["read"])


async def complaint(url: str) -> str:
    with pytest.raises(CommandError) as refused:
        await made(url)
    [line] = refused.value.lines
    return line


async def test_a_database_without_tables_is_reported_until_migrated(url: str) -> None:
    assert await complaint(url) == "the database is unavailable or not migrated (ProgrammingError)"
    await run_migrations(settings(url), prepare_database)
    assert (await made(url)).startswith("tk_dev_")


async def test_an_unavailable_or_missing_database_is_one_line(database_url: str) -> None:
    for url in (NOWHERE, f"{database_url.rpartition('/')[0]}/missing_database"):
        assert (await complaint(url)).startswith("the database is unavailable or not migrated (")
        with pytest.raises(CommandError, match=r"^the database is unavailable \(\w+\)$"):
            await run_migrations(settings(url), prepare_database)


async def test_a_missing_url_is_reported_with_the_setting() -> None:
    without = settings(NOWHERE).model_copy(update={"database_url": ""})
    with pytest.raises(CommandError, match=f"^{NO_URL}$"):
        await tenants.list_tenant_lines(without)
    with pytest.raises(CommandError, match=f"^{NO_URL}$"):
        await run_migrations(without, prepare_database)


async def test_a_later_schema_is_unchanged_and_reported(url: str) -> None:
    await migrate(url)
    async with own_engine(url) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CommandError, match=r"^the database was migrated by a newer version of Tocsin$"):
        await run_migrations(settings(url), prepare_database)


@asynccontextmanager
async def own_engine(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()
