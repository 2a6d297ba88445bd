"""Choose the ticks to synchronize with Temporal, and the time of the next synchronization."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from storage import engine_state, schedules, ticks
from storage.database import Database
from storage.statements import decoded
from storage.ticks import DesiredTick
from tests.storage.databases import own_database
from tests.storage.sends import new_tenant

pytestmark = pytest.mark.postgres

SPEC: dict[str, Any] = {"topic": "news", "payload": {}, "timezone": "UTC", "overlap": "skip"}
AGAIN = 3600.0
READ = text("SELECT sync_attempted_at, schedules FROM tick WHERE tenant = :tenant")


@pytest.fixture
async def alone(database_url: str) -> AsyncIterator[Database]:
    """Yield a database that no dispatcher and no other Temporal store uses."""
    async with own_database(database_url) as database:
        yield database


async def put(database: Database, tenant: UUID, cron: str, key: str = "daily") -> None:
    async with database.transaction() as session:
        await schedules.put(session, tenant, key, "report", {**SPEC, "cron": cron})


async def to_ensure(database: Database, resync_after: float = AGAIN) -> list[int]:
    async with database.transaction() as session:
        return [tick.interval_minutes for tick in await ticks.claim_unsynced(session, 10, resync_after)]


async def ensured(database: Database, tenant: UUID, interval_minutes: int) -> None:
    """As if `interval_minutes` had been read when it was read last."""
    async with database.transaction() as session:
        row = (await session.execute(READ, {"tenant": tenant})).mappings().one()
        shown = decoded(row["schedules"])
        tick = DesiredTick(
            tenant=tenant,
            notification_type="report",
            interval_minutes=interval_minutes,
            sync_attempted_at=row["sync_attempted_at"],
            schedules=shown,
        )
        await ticks.mark_synced(session, tick)


async def test_only_a_changed_tick_is_synchronized(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    assert await to_ensure(alone) == [15]
    await ensured(alone, tenant, 15)
    await put(alone, tenant, "30 9 * * *")
    assert await to_ensure(alone) == []
    await put(alone, tenant, "31 9 * * *")
    assert await to_ensure(alone) == [1]


async def test_schedules_and_pauses_of_a_type_are_synchronized_to_temporal(alone: Database) -> None:
    tenant = await new_tenant(alone)
    for key in ("weekly", "daily"):
        await put(alone, tenant, "0 9 * * *", key)
    assert (await read(alone)).schedules == {"daily": False, "weekly": False}
    async with alone.transaction() as session:
        await schedules.pause(session, tenant, "daily")
    tick = await read(alone)
    assert (tick.interval_minutes, tick.schedules) == (15, {"daily": True, "weekly": False})
    async with alone.transaction() as session:
        await schedules.pause(session, tenant, "weekly")
    tick = await read(alone)
    assert (tick.interval_minutes, tick.is_needed, tick.schedules) == (0, True, {"daily": True, "weekly": True})
    await note_ensured(alone, tick)
    assert await to_ensure(alone) == []


async def test_as_many_schedules_are_shown_as_temporal_takes(alone: Database) -> None:
    tenant = await new_tenant(alone)
    for number in range(20):
        await put(alone, tenant, "0 9 * * *", f"{number:0>100}")
    assert len((await read(alone)).schedules) == 15


async def test_a_change_during_a_synchronization_is_synchronized_again(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    await put(alone, tenant, "5 9 * * *")
    await ensured(alone, tenant, 15)
    assert await to_ensure(alone) == [5]


async def test_a_tick_without_a_schedule_is_forgotten(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    async with alone.transaction() as session:
        await schedules.delete(session, tenant, "daily")
    assert await to_ensure(alone) == [0]
    await ensured(alone, tenant, 0)
    assert await to_ensure(alone, resync_after=0) == []


async def test_a_new_store_gets_all_ticks(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    await to_ensure(alone)
    for store, expected in (("first", []), ("first", []), ("second", [15])):
        await ensured(alone, tenant, 15)
        async with alone.transaction() as session:
            await engine_state.confirm_replacement(session, store)
            await engine_state.record_observation(session, store)
        assert (store, await to_ensure(alone)) == (store, expected)


async def test_those_that_temporal_does_not_take_stand_in_nobodys_way(alone: Database) -> None:
    tenants = [await new_tenant(alone) for _ in range(3)]
    asked: list[UUID] = []
    for tenant in tenants:
        await put(alone, tenant, "0 9 * * *")
    for _ in tenants:
        async with alone.transaction() as session:
            asked += [tick.tenant for tick in await ticks.claim_unsynced(session, 1, AGAIN)]
    assert sorted(asked) == sorted(tenants)


async def test_changed_ticks_precede_failed_ones(alone: Database) -> None:
    first, second = [await new_tenant(alone) for _ in range(2)]
    for tenant in (first, second):
        await put(alone, tenant, "0 9 * * *")
        await to_ensure(alone)
    await put(alone, second, "5 9 * * *")
    async with alone.transaction() as session:
        assert [tick.tenant for tick in await ticks.claim_unsynced(session, 1, AGAIN)] == [second]


async def test_now_and_then_all_are_looked_at_again(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    assert await to_ensure(alone) == [15]
    await ensured(alone, tenant, 15)
    assert (await to_ensure(alone), await to_ensure(alone, resync_after=0)) == ([], [15])


async def read(database: Database) -> DesiredTick:
    async with database.transaction() as session:
        [tick] = await ticks.claim_unsynced(session, 10, AGAIN)
    return tick


async def note_ensured(database: Database, tick: DesiredTick) -> None:
    async with database.transaction() as session:
        await ticks.mark_synced(session, tick)


@pytest.mark.parametrize("late_one_is_last", [True, False])
async def test_a_late_synchronization_is_repeated(alone: Database, late_one_is_last: bool) -> None:
    """A process stalls between reading and synchronizing. Another process synchronizes a later change."""
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    late = await read(alone)
    await put(alone, tenant, "5 9 * * *")
    current = await read(alone)
    for tick in (current, late) if late_one_is_last else (late, current):
        await note_ensured(alone, tick)
    assert await to_ensure(alone) == [5]


async def test_a_schedule_that_was_made_late_is_removed_again(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    late = await read(alone)
    async with alone.transaction() as session:
        await schedules.delete(session, tenant, "daily")
    await note_ensured(alone, await read(alone))
    assert await to_ensure(alone) == []
    await note_ensured(alone, late)
    assert await to_ensure(alone) == [0]


async def test_a_schedule_that_was_removed_late_is_made_again(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    async with alone.transaction() as session:
        await schedules.delete(session, tenant, "daily")
    late = await read(alone)
    await put(alone, tenant, "0 9 * * *")
    await note_ensured(alone, await read(alone))
    await note_ensured(alone, late)
    assert await to_ensure(alone) == [15]
