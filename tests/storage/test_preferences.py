"""An opt-out is an update of a row that the guard of a delivery can lock."""

import asyncio

import pytest
from sqlalchemy import text

from storage import preferences
from storage.database import Database
from tests.storage.histories import new_person, new_tenant
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres

GUARD = text("SELECT global_channel_opt_in FROM user_preference WHERE tenant = :tenant AND user_id = 'ada' FOR SHARE")


async def test_an_opt_out_waits_for_a_guard_that_has_looked_and_the_next_guard_sees_it(database: Database) -> None:
    tenant = await new_tenant(database)
    await new_person(database, tenant)

    async def opt_out() -> None:
        async with database.transaction() as session:
            await preferences.save(session, tenant, "ada", {"email": False}, {}, None)

    async with database.transaction() as session:
        await session.execute(GUARD, {"tenant": tenant})
        waiting = asyncio.create_task(opt_out())
        await until_blocked(database, waiting)
    await waiting
    async with database.transaction() as session:
        assert (await session.execute(GUARD, {"tenant": tenant})).scalar_one() == {"email": False}


async def test_nobody_is_made_by_saving_preferences(database: Database) -> None:
    tenant = await new_tenant(database)
    async with database.transaction() as session:
        assert await preferences.save(session, tenant, "ada", {}, {}, None) is None
        assert await preferences.find(session, tenant, "ada") is None
