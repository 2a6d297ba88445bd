"""How many connections a process opens, and who gets them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from storage import database as module
from storage.database import Database
from storage.outages import DATABASE_ERRORS

pytestmark = pytest.mark.postgres

POOL = 4


@pytest.fixture
async def small(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A pool of its own, in which nothing waits for long."""
    monkeypatch.setattr(module, "POOL_TIMEOUT", 0.1)
    small = Database(database.url, pool_size=POOL)
    yield small
    await small.close()


async def take(stack: AsyncExitStack, database: Database) -> None:
    session = await stack.enter_async_context(database.transaction())
    await session.execute(text("SELECT 1"))


async def test_a_pool_opens_no_more_connections_than_it_is_allowed(small: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(POOL):
            await take(stack, small)
        with pytest.raises(DATABASE_ERRORS):
            await take(stack, small)


async def test_activities_leave_connections_to_the_rest_of_the_process(small: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(POOL * 3 // 4):
            await take(stack, small.for_activities)
        with pytest.raises(DATABASE_ERRORS):
            await take(stack, small.for_activities)
        await take(stack, small)
    async with small.for_activities.statement() as session:
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1


PLAN_MODE = text("SELECT current_setting('plan_cache_mode')")


async def plan_mode(database: Database) -> str:
    async with database.statement() as session:
        return str((await session.execute(PLAN_MODE)).scalar_one())


async def test_only_text_statements_are_planned_once(small: Database) -> None:
    assert await plan_mode(small) == "force_generic_plan"
    async with small.transaction() as session:
        assert (await session.execute(PLAN_MODE)).scalar_one() == "auto"


async def test_a_connection_that_returns_to_the_pool_plans_as_usual(small: Database) -> None:
    await plan_mode(small)
    modes = []
    async with AsyncExitStack() as stack:
        for _ in range(POOL):
            session = await stack.enter_async_context(small.transaction())
            modes.append((await session.execute(PLAN_MODE)).scalar_one())
    assert modes == ["auto"] * POOL
