"""Test that work whose batch fails waits longer each time, and blocks no other work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dispatch.large_changes import LargeChangeTasks
from storage import erasures, reconsiderations
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from tests.storage.sends import DatabaseTenant, open_database_tenant
from tests.storage.test_erasure_batches import add_notifications
from tests.storage.test_reconsiderations import due, wait

pytestmark = pytest.mark.postgres
# It waits for ten minutes, so that a slow machine does not attempt it again too early; then no more.
OFTEN = "UPDATE {} SET failures = 10 WHERE tenant = :tenant AND failures = 1"
LATER = "UPDATE {} SET last_batch_at = now() - interval '1 hour' WHERE tenant = :tenant"


@asynccontextmanager
async def refuse_changes(database_tenant: DatabaseTenant, table: str) -> AsyncIterator[None]:
    """Let Postgres refuse every change of this tenant's rows, as after a bug."""
    name = f"refuse_{database_tenant.tenant.hex}"
    await database_tenant.query(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE check_violation; END$$"
    )
    await database_tenant.query(
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN (NEW.tenant = '{database_tenant.tenant}')"
        f" EXECUTE FUNCTION {name}()"
    )
    yield
    await database_tenant.query(f"DROP FUNCTION {name} CASCADE")


async def rows(database_tenant: DatabaseTenant, table: str, columns: str) -> list[tuple[Any, ...]]:
    found = await database_tenant.query(
        f"SELECT {columns} FROM {table} WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    return [tuple(row.values()) for row in found]


async def done(batches: LargeChangeTasks) -> None:
    while await batches.reconsider() == 0.0:
        pass


async def test_an_erasure_that_fails_lets_others_pass_and_is_finished_later(database: Database) -> None:
    failing, other = [await open_database_tenant(database) for _ in range(2)]
    for database_tenant in (failing, other):
        await add_notifications(database_tenant, 20)
        async with database.transaction() as session:
            assert (
                await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, 10)
                is not None
            )
    batches, state = LargeChangeTasks(database), "failures, finished_at IS NOT NULL"
    async with refuse_changes(failing, "notification"):
        with pytest.raises(DATABASE_ERRORS):
            await batches.erase()
        assert await rows(failing, "erasure", state) == [(1, False)]
        await failing.query(OFTEN.format("erasure"), tenant=failing.tenant)
        for _ in range(2):  # the second pass finishes it
            await batches.erase()
        assert (await rows(failing, "erasure", state), await rows(other, "erasure", state)) == (
            [(10, False)],
            [(0, True)],
        )
    await failing.query(LATER.format("erasure"), tenant=failing.tenant)
    for _ in range(2):
        await batches.erase()
    assert await rows(failing, "erasure", state) == [(0, True)]


async def test_a_reconsideration_that_fails_lets_others_pass_and_is_done_later(database: Database) -> None:
    failing, other = [await open_database_tenant(database) for _ in range(2)]
    for database_tenant in (failing, other):
        await wait(database_tenant, 3)
        async with database.transaction() as session:
            await reconsiderations.reconsider(session, database_tenant.tenant, None)
    batches = LargeChangeTasks(database)
    async with refuse_changes(failing, "queue_entry"):
        with pytest.raises(DATABASE_ERRORS):
            await done(batches)
        assert (1,) in await rows(failing, "reconsideration", "failures")
        await failing.query(OFTEN.format("reconsideration"), tenant=failing.tenant)
        await done(batches)
        assert (await due(failing), await due(other)) == (0, 3)
    await failing.query(LATER.format("reconsideration"), tenant=failing.tenant)
    await done(batches)
    assert (await due(failing), await rows(failing, "reconsideration", "failures")) == (3, [])
