"""Of several processes one holds the lease; it is lost by silence alone, by the clock of the database."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from storage import processes
from storage.database import Database

pytestmark = pytest.mark.postgres

EXPIRE = text("UPDATE lease SET expires_at = clock_timestamp() - interval '1 millisecond' WHERE name = :name")
ACQUIRED_AT = text("SELECT acquired_at, expires_at > clock_timestamp() AS is_valid FROM lease WHERE name = :name")


async def acquire(database: Database, name: str, holder: UUID) -> bool:
    async with database.statement() as session:
        return await processes.acquire_lease(session, name, holder, 60)


async def execute(database: Database, statement: object, name: str) -> list[object]:
    async with database.statement() as session:
        return list(await session.execute(statement, {"name": name}))  # type: ignore[arg-type]


async def test_a_lease_is_kept_by_its_holder_and_refused_to_others(database: Database) -> None:
    name, mine, other = uuid4().hex, uuid4(), uuid4()
    assert await acquire(database, name, mine)
    [first] = await execute(database, ACQUIRED_AT, name)
    assert not await acquire(database, name, other)
    assert await acquire(database, name, mine)
    assert await execute(database, ACQUIRED_AT, name) == [first]


async def test_an_expired_lease_goes_to_the_first_claimant(database: Database) -> None:
    name, mine, other = uuid4().hex, uuid4(), uuid4()
    await acquire(database, name, mine)
    [before] = await execute(database, ACQUIRED_AT, name)
    await execute(database, EXPIRE, name)
    assert await acquire(database, name, other)
    assert not await acquire(database, name, mine)
    [after] = await execute(database, ACQUIRED_AT, name)
    assert after != before


async def test_one_of_many_concurrent_claimants_gets_the_lease(database: Database) -> None:
    name = uuid4().hex
    assert sum(await asyncio.gather(*(acquire(database, name, uuid4()) for _ in range(8)))) == 1
    await execute(database, EXPIRE, name)
    assert sum(await asyncio.gather(*(acquire(database, name, uuid4()) for _ in range(8)))) == 1


async def test_a_released_lease_is_free_and_only_its_holder_releases_it(database: Database) -> None:
    name, mine, other = uuid4().hex, uuid4(), uuid4()
    await acquire(database, name, mine)
    for holder, is_free in ((other, False), (mine, True)):
        async with database.statement() as session:
            await processes.release_lease(session, name, holder)
        assert await acquire(database, name, other) is is_free
