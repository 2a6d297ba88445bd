"""The migrations make exactly the tables that the models describe, up, down and up again."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

import models
from storage.migrate import MIGRATIONS, migrate
from tests.code.tree import ROOT
from tests.storage.databases import empty_database, own_database

pytestmark = pytest.mark.postgres


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
        await connection.exec_driver_sql("ALTER TABLE notification DROP COLUMN revision")
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


# One notification in each state that dispatching knew before there was a queue; the recipient says which.
OPEN = "dispatch_at, dispatched_at, digest_key, waits_for, cancel_requested_at, finished_at"
BEFORE = {
    "due": "now(), NULL, NULL, NULL, NULL, NULL",
    "started": "now(), now(), NULL, NULL, NULL, NULL",
    "waiting": "now(), now(), NULL, 'quiet_hours', NULL, NULL",
    "collecting": "now(), NULL, 'group', NULL, NULL, NULL",
    "canceled": "now(), now(), NULL, NULL, now(), now()",
    "finished": "now(), now(), NULL, NULL, NULL, now()",
}
ROWS = (
    "INSERT INTO tenant (id, key, name, created_at, default_language)"
    " VALUES (gen_random_uuid(), 'shop', 'Shop', now(), 'en')",
    "INSERT INTO notification_type (id, tenant, key, version, spec, created_at)"
    " SELECT gen_random_uuid(), id, 'news', 1, '{}', now() FROM tenant",
    *(
        "INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status,"
        f" priority, tags, holds_idempotency_key, created_at, generation, revision, {OPEN})"
        f" SELECT gen_random_uuid(), tenant, '{state}', key, id, '{{}}', 'PENDING', 3, '{{}}', false, now(), 1, 0,"
        f" {values} FROM notification_type"
        for state, values in BEFORE.items()
    ),
)


async def test_open_notifications_are_moved_to_the_queue(url: str) -> None:
    await migrate(url, "0005")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for statement in ROWS:
            await connection.exec_driver_sql(statement)
    await migrate(url)
    async with engine.connect() as connection:
        moved = await connection.execute(
            text(
                "SELECT n.recipient_id AS was, q.state FROM queue_entry q JOIN notification n ON n.id = notification_id"
            )
        )
        states = {row.was: row.state for row in moved}
    await engine.dispose()
    assert states == {state: state for state in BEFORE if state != "finished"}


# Tenant → prefix, scopes and age in days of its one key; the oldest operator's key is revoked.
KEYS = {
    "demo": ("any", "send,operate", 1, "NULL"),
    "first": ("tk_productio", "operate", 9, "now()"),
    "ops": ("tk_productio", "read,operate", 5, "NULL"),
    "shop": ("tk_dev_abcde", "send", 7, "NULL"),
}


async def test_tenants_and_keys_are_marked_by_their_former_use(url: str) -> None:
    await migrate(url, "0009")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for tenant, (prefix, scopes, age, revoked) in KEYS.items():
            await connection.exec_driver_sql(
                f"WITH made AS (INSERT INTO tenant (id, key, name, created_at, default_language)"
                f" VALUES (gen_random_uuid(), '{tenant}', '{tenant}', now(), 'en') RETURNING id)"
                f" INSERT INTO api_key (id, tenant, name, prefix, hash, scopes, created_at, revoked_at)"
                f" SELECT gen_random_uuid(), id, 'development', '{prefix}', '{tenant}', '{{{scopes}}}',"
                f" now() - interval '{age} days', {revoked} FROM made"
            )
    await migrate(url)
    async with engine.connect() as connection:
        own = await connection.execute(text("SELECT key FROM tenant WHERE installation"))
        dev = await connection.execute(text("SELECT hash FROM api_key WHERE dev ORDER BY hash"))
        assert (list(own.scalars()), list(dev.scalars())) == (["ops"], ["demo", "shop"])
    await engine.dispose()


def test_there_is_one_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


async def test_two_processes_may_migrate_at_once(url: str) -> None:
    source = f"import asyncio; from storage.migrate import migrate; asyncio.run(migrate({url!r}))"
    both = [await asyncio.create_subprocess_exec(sys.executable, "-c", source, cwd=ROOT) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    assert await looked_at(url, differences) == []
