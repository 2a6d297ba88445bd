"""The database records which processes live, and which of them holds a lease."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from storage import processes
from storage.database import Database
from storage.processes import DELETE_DEAD_AFTER, LIVENESS_TIMEOUT, ProcessInfo
from tests.storage.fixtures import database, database_tenant
from tests.storage.sends import DatabaseTenant

__all__ = ["database", "database_tenant"]

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
async def no_rows(database_tenant: DatabaseTenant) -> AsyncIterator[None]:
    yield
    await database_tenant.query("DELETE FROM process")


async def renew(database: Database, *providers: str, role: str = "worker", id: UUID | None = None) -> UUID:
    process = ProcessInfo(id=id or uuid4(), role=role, host="one", pid=7, providers=providers)
    async with database.statement() as session:
        await processes.renew(session, process)
    return process.id


async def age(database_tenant: DatabaseTenant, id: UUID, *columns: str, seconds: float = LIVENESS_TIMEOUT + 1) -> None:
    for column in columns:
        await database_tenant.query(
            f"UPDATE process SET {column} = {column} - make_interval(secs => :seconds) WHERE id = :id",
            id=id,
            seconds=seconds,
        )


async def absent(database: Database, provider: str) -> bool:
    async with database.statement() as session:
        return await processes.is_provider_absent(session, provider)


async def test_a_provider_that_no_live_worker_has_is_absent(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    await age(database_tenant, await renew(database, "smtp"), "steady_since")
    assert await absent(database, "sendgrid")
    assert not await absent(database, "smtp")


async def test_a_provider_is_not_absent_before_workers_have_reported_for_a_while(database: Database) -> None:
    await renew(database, "smtp")
    assert not await absent(database, "sendgrid")


async def test_a_provider_of_a_dead_worker_or_of_an_api_is_absent(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    await age(database_tenant, await renew(database, "smtp"), "steady_since")
    await age(database_tenant, await renew(database, "sendgrid"), "seen_at")
    await renew(database, "sendgrid", role="api")
    assert await absent(database, "sendgrid")


async def test_a_gap_in_the_renewals_begins_the_steady_time_again(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    id = await renew(database, "smtp")
    await age(database_tenant, id, "steady_since", "seen_at")
    await renew(database, "smtp", id=id)
    assert not await absent(database, "sendgrid")
    await age(database_tenant, id, "steady_since")
    await renew(database, "smtp", id=id)
    assert await absent(database, "sendgrid")


async def test_a_row_is_deleted_with_its_process_and_long_after_a_death(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    ended, dead, live = [await renew(database) for _ in range(3)]
    async with database.statement() as session:
        await processes.remove(session, ended)
    await age(database_tenant, dead, "seen_at", seconds=DELETE_DEAD_AFTER + 1)
    await renew(database, id=live)
    assert [row["id"] for row in await database_tenant.query("SELECT id FROM process")] == [live]


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
