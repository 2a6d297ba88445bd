"""Set rates at run time: merge them one by one and notify the dispatcher at commit."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.names import DISPATCH_CHANNEL, RATES_DUE
from domain.rates import ProviderRateLimits
from storage import provider_health
from storage.database import Database
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def change(database: Database, **changes: float | None) -> ProviderRateLimits:
    async with database.transaction() as session:
        return await provider_health.update_limits(session, "smtp", changes)


async def test_omitted_limits_stay_and_null_restores_the_settings(database: Database) -> None:
    assert await change(database, rate=20) == ProviderRateLimits(rate=20)
    assert await change(database, tenant_rate=2.5) == ProviderRateLimits(rate=20, tenant_rate=2.5)
    assert await change(database) == ProviderRateLimits(rate=20, tenant_rate=2.5)
    assert await change(database, rate=0) == ProviderRateLimits(rate=0, tenant_rate=2.5)
    assert await change(database, rate=None) == ProviderRateLimits(tenant_rate=2.5)
    async with database.transaction() as session:
        assert await provider_health.read_limits(session) == {"smtp": ProviderRateLimits(tenant_rate=2.5)}


async def test_a_change_notifies_the_dispatcher(database: Database) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    connection = await database.dedicated()
    await connection.add_listener(DISPATCH_CHANNEL, lambda *arguments: heard.put_nowait(arguments[-1]))
    await change(database, rate=20)
    async with asyncio.timeout(60):
        assert await heard.get() == RATES_DUE
    await connection.close()
