"""Which providers live processes have, by rows that are renewed."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

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
