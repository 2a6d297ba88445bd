"""Which ticks Temporal is to be told of, and when it is told again."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from storage import schedules, stores, ticks
from storage.database import Database
from storage.rows import decoded
from storage.ticks import Tick
from tests.storage.databases import own_database
from tests.storage.histories import new_tenant

pytestmark = pytest.mark.postgres

SPEC: dict[str, Any] = {"topic": "news", "payload": {}, "timezone": "UTC", "overlap": "skip"}
AGAIN = 3600.0
READ = text("SELECT tried_at, schedules FROM tick WHERE tenant = :tenant")


@pytest.fixture
async def alone(database_url: str) -> AsyncIterator[Database]:
    """Where no dispatcher tells Temporal anything, and nobody has another store."""
    async with own_database(database_url) as database:
        yield database


async def put(database: Database, tenant: UUID, cron: str, key: str = "daily") -> None:
    async with database.transaction() as session:
        await schedules.put(session, tenant, key, "report", {**SPEC, "cron": cron})


async def to_ensure(database: Database, again: float = AGAIN) -> list[int]:
    async with database.transaction() as session:
        return [tick.minutes for tick in await ticks.to_ensure(session, 10, again)]


async def ensured(database: Database, tenant: UUID, minutes: int) -> None:
    """As if `minutes` had been read when it was read last."""
    async with database.transaction() as session:
        row = (await session.execute(READ, {"tenant": tenant})).mappings().one()
        shown = decoded(row["schedules"])
        tick = Tick(
            tenant=tenant, notification_type="report", minutes=minutes, tried_at=row["tried_at"], schedules=shown
        )
        await ticks.ensured(session, tick)


async def test_a_change_is_told_and_what_stays_as_it_is_is_not(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    assert await to_ensure(alone) == [15]
    await ensured(alone, tenant, 15)
    await put(alone, tenant, "30 9 * * *")
    assert await to_ensure(alone) == []
    await put(alone, tenant, "31 9 * * *")
    assert await to_ensure(alone) == [1]


async def test_temporal_is_told_of_the_schedules_of_a_type_and_of_their_pauses(alone: Database) -> None:
    tenant = await new_tenant(alone)
    for key in ("weekly", "daily"):
        await put(alone, tenant, "0 9 * * *", key)
    assert (await read(alone)).schedules == {"daily": False, "weekly": False}
    async with alone.transaction() as session:
        await schedules.pause(session, tenant, "daily")
    tick = await read(alone)
    assert (tick.minutes, tick.schedules) == (15, {"daily": True, "weekly": False})
    async with alone.transaction() as session:
        await schedules.pause(session, tenant, "weekly")
    tick = await read(alone)
    assert (tick.minutes, tick.stays, tick.schedules) == (0, True, {"daily": True, "weekly": True})
    await note_ensured(alone, tick)
    assert await to_ensure(alone) == []


async def test_as_many_schedules_are_shown_as_temporal_takes(alone: Database) -> None:
    tenant = await new_tenant(alone)
    for number in range(20):
        await put(alone, tenant, "0 9 * * *", f"{number:0>100}")
    assert len((await read(alone)).schedules) == 15


async def test_what_was_changed_while_temporal_was_told_is_told_again(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    await put(alone, tenant, "5 9 * * *")
    await ensured(alone, tenant, 15)
    assert await to_ensure(alone) == [5]


async def test_one_that_is_gone_in_temporal_is_forgotten(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    async with alone.transaction() as session:
        await schedules.delete(session, tenant, "daily")
    assert await to_ensure(alone) == [0]
    await ensured(alone, tenant, 0)
    assert await to_ensure(alone, again=0) == []


async def test_another_store_is_told_of_all(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    await to_ensure(alone)
    for store, told in (("first", []), ("first", []), ("second", [15])):
        await ensured(alone, tenant, 15)
        async with alone.transaction() as session:
            await stores.confirm(session, store)
            await stores.note_seen(session, store)
        assert (store, await to_ensure(alone)) == (store, told)


async def test_those_that_temporal_does_not_take_stand_in_nobodys_way(alone: Database) -> None:
    tenants = [await new_tenant(alone) for _ in range(3)]
    asked: list[UUID] = []
    for tenant in tenants:
        await put(alone, tenant, "0 9 * * *")
    for _ in tenants:
        async with alone.transaction() as session:
            asked += [tick.tenant for tick in await ticks.to_ensure(session, 1, AGAIN)]
    assert sorted(asked) == sorted(tenants)


async def test_what_was_changed_comes_before_what_was_not_taken(alone: Database) -> None:
    first, second = [await new_tenant(alone) for _ in range(2)]
    for tenant in (first, second):
        await put(alone, tenant, "0 9 * * *")
        await to_ensure(alone)
    await put(alone, second, "5 9 * * *")
    async with alone.transaction() as session:
        assert [tick.tenant for tick in await ticks.to_ensure(session, 1, AGAIN)] == [second]


async def test_now_and_then_all_are_looked_at_again(alone: Database) -> None:
    tenant = await new_tenant(alone)
    await put(alone, tenant, "0 9 * * *")
    assert await to_ensure(alone) == [15]
    await ensured(alone, tenant, 15)
    assert (await to_ensure(alone), await to_ensure(alone, again=0)) == ([], [15])


async def read(database: Database) -> Tick:
    async with database.transaction() as session:
        [tick] = await ticks.to_ensure(session, 10, AGAIN)
    return tick


async def note_ensured(database: Database, tick: Tick) -> None:
    async with database.transaction() as session:
        await ticks.ensured(session, tick)


@pytest.mark.parametrize("late_one_is_last", [True, False])
async def test_what_a_process_told_late_is_told_again(alone: Database, late_one_is_last: bool) -> None:
    """It stood still between reading and telling. Another one has told Temporal what has changed since."""
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
