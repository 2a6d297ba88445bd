"""The migrations create exactly the tables that the models describe, up, down and up again."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlmodel import SQLModel

import models
from storage.migrate import MIGRATIONS, migrate
from tests.code.tree import ROOT
from tests.storage.databases import empty_database, own_database

pytestmark = pytest.mark.postgres
BASELINE = "0001"
# By the type of a column that has no default.
EMPTY_VALUES = {
    "TIMESTAMP": "2026-01-01T00:00:00Z",
    "BOOLEAN": "false",
    "INTEGER": "0",
    "VARCHAR": "",
    "JSONB": "{}",
    "ARRAY": "{}",
}


@pytest.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    async with empty_database(database_url) as url:
        yield url


@pytest.fixture
async def migrated(database_url: str) -> AsyncIterator[str]:
    """A copy of the database that `migrate` has made for the session."""
    async with own_database(database_url) as database:
        yield database.url


async def looked_at(url: str, look: Any) -> Any:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        seen = await connection.run_sync(look)
    await engine.dispose()
    return seen


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, SQLModel.metadata))


def checks(connection: Connection) -> dict[str, set[str]]:
    """Autogenerate does not compare these."""
    looking = inspect(connection)
    return {table: {str(c["name"]) for c in looking.get_check_constraints(table)} for table in SQLModel.metadata.tables}


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_migrations_from_empty_match_the_models(url: str) -> None:
    await migrate(url)
    assert await looked_at(url, differences) == []
    declared = {
        name: {str(c.name) for c in table.constraints if type(c).__name__ == "CheckConstraint"}
        for name, table in SQLModel.metadata.tables.items()
    }
    assert await looked_at(url, checks) == declared
    assert models.__all__


async def test_a_difference_would_be_noticed(migrated: str) -> None:
    engine = create_async_engine(migrated)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE notification DROP COLUMN channels")
        await connection.exec_driver_sql("DROP INDEX notification_of_status")
    await engine.dispose()
    assert [difference[0] for difference in await looked_at(migrated, differences)] == ["add_column", "add_index"]


async def test_down_to_nothing_and_up_again(migrated: str) -> None:
    await migrate(migrated, "base")
    assert await looked_at(migrated, tables) <= {"alembic_version"}
    await migrate(migrated)
    assert await looked_at(migrated, differences) == []


async def test_running_them_again_changes_nothing(migrated: str) -> None:
    await migrate(migrated)
    assert await looked_at(migrated, differences) == []


def test_there_is_one_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


async def test_two_processes_may_migrate_at_once(url: str) -> None:
    source = f"import asyncio; from storage.migrate import migrate; asyncio.run(migrate({url!r}))"
    both = [await asyncio.create_subprocess_exec(sys.executable, "-c", source, cwd=ROOT) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    assert await looked_at(url, differences) == []


async def test_a_migration_does_not_wait_for_a_locked_table(url: str) -> None:
    await migrate(url)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DBAPIError, match="lock timeout"):
            await migrate(url)
    await engine.dispose()


async def insert(connection: AsyncConnection, table: str, row: dict[str, Any]) -> None:
    """Insert a row. Columns that it does not name and that have no default get the present time or an empty value."""
    columns = await connection.run_sync(lambda sync: inspect(sync).get_columns(table))
    required = {c["name"]: c["type"] for c in columns if not c["nullable"] and c["default"] is None}
    values = {name: EMPTY_VALUES[type(kind).__name__] for name, kind in required.items() if name not in row} | row
    names = ", ".join(values)
    given = ", ".join(f"'{value}'" for value in values.values())
    await connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({given})")


async def test_later_migrations_run_against_rows(url: str) -> None:
    """The rows of the baseline survive every later migration."""
    await migrate(url, BASELINE)
    tenant, type_id, notification = uuid4(), uuid4(), uuid4()
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for table, row in (
            ("tenant", {"id": tenant, "key": "acme", "name": "Acme", "default_language": "en"}),
            (
                "notification_type",
                {"id": type_id, "tenant": tenant, "key": "news", "version": 1, "spec": "{}"},
            ),
            (
                "notification",
                {
                    **{"id": notification, "tenant": tenant, "type_id": type_id, "notification_type": "news"},
                    **{"recipient_id": "ada", "event_payload": "{}", "priority": 3, "status": "PENDING"},
                },
            ),
        ):
            await insert(connection, table, row)
    await migrate(url)
    async with engine.connect() as connection:
        found = (await connection.exec_driver_sql("SELECT id, status FROM notification")).one()
    await engine.dispose()
    assert tuple(found) == (notification, "PENDING")
    assert await looked_at(url, differences) == []
