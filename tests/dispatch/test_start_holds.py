"""Test that a process that starts on a restored database waits until an operator releases the hold."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from dispatch import start_holds
from dispatch.start_holds import hold_on_start, wait_for_release
from domain.names import timed_id
from storage.database import Database
from storage.engine_state import StartHold, is_conclusive, read_hold, record_observation, release_hold
from tests.storage.fixtures import database, database_tenant
from tests.storage.sends import DatabaseTenant

__all__ = ["database", "database_tenant"]

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
async def own_state(database_tenant: DatabaseTenant) -> AsyncIterator[None]:
    await database_tenant.query("DELETE FROM engine_state")
    yield
    await database_tenant.query("DELETE FROM engine_state")


async def hold_of(database: Database) -> StartHold | None:
    async with database.transaction() as session:
        return await read_hold(session)


async def released(database: Database, name: str) -> int | None:
    async with database.transaction() as session:
        return await release_hold(session, name)


async def test_a_process_waits_until_its_hold_is_released(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_holds, "POLL_INTERVAL", 0.01)
    await hold_on_start(database, "monday")
    waiting = asyncio.create_task(wait_for_release(database))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    assert await released(database, "monday") == 0
    await asyncio.wait_for(waiting, 10)


async def test_without_a_hold_a_process_starts_at_once(database: Database) -> None:
    await hold_on_start(database, "")
    await asyncio.wait_for(wait_for_release(database), 10)
    assert await hold_of(database) is None


async def test_a_hold_of_another_process_counts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_holds, "POLL_INTERVAL", 0.01)
    await hold_on_start(database, "monday")
    await hold_on_start(database, "")
    waiting = asyncio.create_task(wait_for_release(database))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    waiting.cancel()


async def test_a_released_name_holds_nothing_after_a_restart(database: Database) -> None:
    await hold_on_start(database, "monday")
    first = await hold_of(database)
    await released(database, "monday")
    await hold_on_start(database, "monday")
    again = await hold_of(database)
    assert first is not None
    assert again is not None
    assert (again.in_force, again.since) == (False, first.since)
    await hold_on_start(database, "tuesday")
    other = await hold_of(database)
    assert other is not None
    assert other.in_force
    assert other.since > first.since


async def test_only_the_hold_in_force_can_be_released(database: Database) -> None:
    await hold_on_start(database, "monday")
    assert await released(database, "sunday") is None
    assert await released(database, "monday") == 0
    assert await released(database, "monday") is None


async def test_ids_from_before_the_hold_are_below_its_mark(database: Database, database_tenant: DatabaseTenant) -> None:
    await hold_on_start(database, "monday")
    [row] = await database_tenant.query("SELECT restored_before, restored_at FROM engine_state")
    mark, at = row["restored_before"], row["restored_at"]
    moment = timedelta(milliseconds=1)
    assert timed_id(at - moment) < mark < timed_id(at + moment)


async def test_nothing_is_concluded_while_notifications_are_started_again(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    async with database.transaction() as session:
        await record_observation(session, "store")
        assert await is_conclusive(session, "store")
    await hold_on_start(database, "monday")
    await released(database, "monday")
    async with database.transaction() as session:
        assert not await is_conclusive(session, "store")
    await database_tenant.query("UPDATE engine_state SET recovered_at = now()")
    async with database.transaction() as session:
        assert await is_conclusive(session, "store")
