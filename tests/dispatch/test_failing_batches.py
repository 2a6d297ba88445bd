"""Work in batches whose batch fails waits longer each time, and blocks no other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dispatch.erasures import Erasures
from dispatch.reconsiderations import Reconsiderations
from storage import gates, large_erasures
from storage.database import Database
from storage.outages import DATABASE_ERRORS
from tests.storage.sends import Desk, open_desk
from tests.storage.test_erasures import add_notifications
from tests.storage.test_reconsiderations import due, wait

pytestmark = pytest.mark.postgres
# It waits for ten minutes, so that a slow machine does not attempt it again too early; then no more.
OFTEN = "UPDATE {} SET failures = 10 WHERE tenant = :tenant AND failures = 1"
LATER = "UPDATE {} SET served_at = now() - interval '1 hour' WHERE tenant = :tenant"


@asynccontextmanager
async def refused(desk: Desk, table: str) -> AsyncIterator[None]:
    """Postgres refuses every change of this tenant's rows, as a bug of ours would make it do."""
    name = f"refuse_{desk.tenant.hex}"
    await desk.query(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE check_violation; END$$"
    )
    await desk.query(
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN (NEW.tenant = '{desk.tenant}')"
        f" EXECUTE FUNCTION {name}()"
    )
    yield
    await desk.query(f"DROP FUNCTION {name} CASCADE")


async def rows(desk: Desk, table: str, columns: str) -> list[tuple[Any, ...]]:
    found = await desk.query(f"SELECT {columns} FROM {table} WHERE tenant = :tenant", tenant=desk.tenant)
    return [tuple(row.values()) for row in found]


async def done(reconsiderations: Reconsiderations) -> None:
    while await reconsiderations.reconsider() == 0.0:
        pass


async def test_an_erasure_that_fails_lets_others_pass_and_is_finished_later(database: Database) -> None:
    failing, other = [await open_desk(database) for _ in range(2)]
    for desk in (failing, other):
        await add_notifications(desk, 20)
        async with database.transaction() as session:
            assert await large_erasures.begin(session, desk.tenant, desk.recipient_id, 10) is not None
    erasures, state = Erasures(database), "failures, finished_at IS NOT NULL"
    async with refused(failing, "notification"):
        with pytest.raises(DATABASE_ERRORS):
            await erasures.erase()
        assert await rows(failing, "erasure", state) == [(1, False)]
        await failing.query(OFTEN.format("erasure"), tenant=failing.tenant)
        for _ in range(2):  # the second pass finishes it
            await erasures.erase()
        assert (await rows(failing, "erasure", state), await rows(other, "erasure", state)) == (
            [(10, False)],
            [(0, True)],
        )
    await failing.query(LATER.format("erasure"), tenant=failing.tenant)
    for _ in range(2):
        await erasures.erase()
    assert await rows(failing, "erasure", state) == [(0, True)]


async def test_a_reconsideration_that_fails_lets_others_pass_and_is_done_later(database: Database) -> None:
    failing, other = [await open_desk(database) for _ in range(2)]
    for desk in (failing, other):
        await wait(desk, 3)
        async with database.transaction() as session:
            await gates.reconsider(session, desk.tenant, None)
    reconsiderations = Reconsiderations(database)
    async with refused(failing, "queue_entry"):
        with pytest.raises(DATABASE_ERRORS):
            await done(reconsiderations)
        assert (1,) in await rows(failing, "reconsideration", "failures")
        await failing.query(OFTEN.format("reconsideration"), tenant=failing.tenant)
        await done(reconsiderations)
        assert (await due(failing), await due(other)) == (0, 3)
    await failing.query(LATER.format("reconsideration"), tenant=failing.tenant)
    await done(reconsiderations)
    assert (await due(failing), await rows(failing, "reconsideration", "failures")) == (3, [])
