"""Read the health of providers and set their rates at run time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.circuits import CallTally, CircuitState
from domain.names import DISPATCH_CHANNEL, RATES_DUE, RELEASE_DUE
from domain.rates import ProviderRateLimits
from storage import provider_health
from storage.database import Database
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def move(database: Database, tally: CallTally) -> None:
    async with database.transaction() as session:
        await provider_health.apply_tally(session, "smtp", tally)


async def test_a_throttle_of_one_process_reaches_all_and_the_longest_counts(database: Database) -> None:
    await move(database, CallTally(calls=1, throttled_for=timedelta(minutes=2)))
    await move(database, CallTally(calls=1, throttled_for=timedelta(seconds=1)))
    async with database.transaction() as session:
        health = (await provider_health.read_health(session))["smtp"]
        left = (await session.execute(text("SELECT throttled_until - now() FROM provider_health"))).scalar_one()
    assert health.throttled_until is not None
    assert timedelta(seconds=110) < left <= timedelta(minutes=2)


async def test_deliveries_held_by_a_throttle_are_released_after_its_end(database: Database) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    connection = await database.dedicated()
    await connection.add_listener(DISPATCH_CHANNEL, lambda *arguments: heard.put_nowait(arguments[-1]))
    await move(database, CallTally(calls=1, throttled_for=timedelta(minutes=2)))
    await move(database, CallTally())
    async with database.transaction() as session:
        await session.execute(text("UPDATE provider_health SET throttled_until = now()"))
        assert heard.empty()
    await move(database, CallTally())
    async with asyncio.timeout(60):
        assert await heard.get() == RELEASE_DUE
    async with database.transaction() as session:
        assert (await provider_health.read_health(session))["smtp"].throttled_until is None
    await connection.close()


async def test_a_refused_lookup_is_forgotten_after_a_day_and_moves_no_circuit(database: Database) -> None:
    async with database.transaction() as session:
        for _ in range(2):
            await provider_health.record_lookup_refused(session, "smtp", uuid4())
    await move(database, CallTally(calls=1))
    age = text("UPDATE provider_health SET lookup_refused_at = now() - CAST(:age AS interval)")
    for hours, refused in ((0, True), (23, True), (25, False)):
        async with database.transaction() as session:
            await session.execute(age, {"age": timedelta(hours=hours)})
        async with database.transaction() as session:
            health = (await provider_health.read_health(session))["smtp"]
        assert (health.lookup_refused, health.state) == (refused, CircuitState.CLOSED)


async def test_only_refused_lookups_of_two_attempts_count(database: Database) -> None:
    first, second = uuid4(), uuid4()
    steps = [(first, False), (first, False), (second, True), (None, False), (second, False), (first, True)]
    for attempt, refused in steps:
        async with database.transaction() as session:
            if attempt is None:
                await provider_health.record_lookup_allowed(session, "smtp")
            else:
                await provider_health.record_lookup_refused(session, "smtp", attempt)
            assert (await provider_health.read_health(session))["smtp"].lookup_refused is refused


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
