"""The circuits' rows: what all processes learn, and who is woken when something may go on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.circuits import CircuitState, Tally
from domain.names import DISPATCH_CHANNEL, RELEASE_DUE
from storage import provider_health
from storage.database import Database
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def move(database: Database, tally: Tally) -> None:
    async with database.transaction() as session:
        await provider_health.move(session, "smtp", tally)


async def test_what_one_process_was_told_all_learn_and_the_longest_counts(database: Database) -> None:
    await move(database, Tally(calls=1, quiet=timedelta(minutes=2)))
    await move(database, Tally(calls=1, quiet=timedelta(seconds=1)))
    async with database.transaction() as session:
        health = (await provider_health.read_all(session))["smtp"]
        left = (await session.execute(text("SELECT quiet_until - now() FROM provider_health"))).scalar_one()
    assert health.quiet_until is not None
    assert timedelta(seconds=110) < left <= timedelta(minutes=2)


async def test_what_waited_for_a_vendor_is_released_when_its_time_has_passed(database: Database) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    connection = await database.dedicated()
    await connection.add_listener(DISPATCH_CHANNEL, lambda *told: heard.put_nowait(told[-1]))
    await move(database, Tally(calls=1, quiet=timedelta(minutes=2)))
    await move(database, Tally())
    async with database.transaction() as session:
        await session.execute(text("UPDATE provider_health SET quiet_until = now()"))
        assert heard.empty()
    await move(database, Tally())
    async with asyncio.timeout(60):
        assert await heard.get() == RELEASE_DUE
    async with database.transaction() as session:
        assert (await provider_health.read_all(session))["smtp"].quiet_until is None
    await connection.close()


async def test_a_refused_lookup_is_forgotten_after_a_day_and_moves_no_circuit(database: Database) -> None:
    async with database.transaction() as session:
        for _ in range(2):
            await provider_health.note_lookup_refused(session, "smtp", uuid4())
    await move(database, Tally(calls=1))
    age = text("UPDATE provider_health SET lookup_refused_at = now() - CAST(:age AS interval)")
    for hours, refused in ((0, True), (23, True), (25, False)):
        async with database.transaction() as session:
            await session.execute(age, {"age": timedelta(hours=hours)})
        async with database.transaction() as session:
            health = (await provider_health.read_all(session))["smtp"]
        assert (health.lookup_refused, health.state) == (refused, CircuitState.CLOSED)


async def test_only_refused_lookups_of_two_attempts_count_and_one_that_works_ends_it(database: Database) -> None:
    first, second = uuid4(), uuid4()
    steps = [(first, False), (first, False), (second, True), (None, False), (second, False), (first, True)]
    for attempt, refused in steps:
        async with database.transaction() as session:
            if attempt is None:
                await provider_health.note_lookup_allowed(session, "smtp")
            else:
                await provider_health.note_lookup_refused(session, "smtp", attempt)
            assert (await provider_health.read_all(session))["smtp"].lookup_refused is refused
