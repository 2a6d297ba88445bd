"""An opt-out is an update of a row that the guard of a delivery can lock."""

import asyncio

import pytest
from sqlalchemy import text

from storage import preferences
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.recipient_histories import new_recipient
from tests.storage.sends import new_tenant

pytestmark = pytest.mark.postgres

GUARD = text("SELECT global_channel_opt_in FROM user_preference WHERE tenant = :tenant AND user_id = 'ada' FOR SHARE")


async def test_an_opt_out_waits_for_a_running_guard(database: Database) -> None:
    tenant = await new_tenant(database)
    await new_recipient(database, tenant)

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


async def test_saving_preferences_creates_no_recipient(database: Database) -> None:
    tenant = await new_tenant(database)
    async with database.transaction() as session:
        assert await preferences.save(session, tenant, "ada", {}, {}, None) is None
        assert await preferences.find(session, tenant, "ada") is None
