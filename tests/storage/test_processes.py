"""Which providers live processes have, by rows that are renewed."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from storage import processes
from storage.database import Database
from storage.processes import LIVE_WITHIN, PRUNED_AFTER, ProcessInfo
from tests.storage.fixtures import database, desk
from tests.storage.sends import Desk

__all__ = ["database", "desk"]

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
async def no_rows(desk: Desk) -> AsyncIterator[None]:
    yield
    await desk.query("DELETE FROM process")


async def renew(database: Database, *providers: str, kind: str = "worker", id: UUID | None = None) -> UUID:
    process = ProcessInfo(id=id or uuid4(), kind=kind, host="one", pid=7, providers=providers)
    async with database.statement() as session:
        await processes.renew(session, process)
    return process.id


async def age(desk: Desk, id: UUID, *columns: str, seconds: float = LIVE_WITHIN + 1) -> None:
    for column in columns:
        await desk.query(
            f"UPDATE process SET {column} = {column} - make_interval(secs => :seconds) WHERE id = :id",
            id=id,
            seconds=seconds,
        )


async def absent(database: Database, provider: str) -> bool:
    async with database.statement() as session:
        return await processes.is_absent(session, provider)


async def test_a_provider_that_no_live_worker_has_is_absent(database: Database, desk: Desk) -> None:
    await age(desk, await renew(database, "smtp"), "steady_since")
    assert await absent(database, "sendgrid")
    assert not await absent(database, "smtp")


async def test_a_provider_is_not_absent_before_workers_have_reported_for_a_while(database: Database) -> None:
    await renew(database, "smtp")
    assert not await absent(database, "sendgrid")


async def test_a_provider_of_a_dead_worker_or_of_an_api_is_absent(database: Database, desk: Desk) -> None:
    await age(desk, await renew(database, "smtp"), "steady_since")
    await age(desk, await renew(database, "sendgrid"), "seen_at")
    await renew(database, "sendgrid", kind="api")
    assert await absent(database, "sendgrid")


async def test_a_gap_in_the_renewals_begins_the_steady_time_again(database: Database, desk: Desk) -> None:
    id = await renew(database, "smtp")
    await age(desk, id, "steady_since", "seen_at")
    await renew(database, "smtp", id=id)
    assert not await absent(database, "sendgrid")
    await age(desk, id, "steady_since")
    await renew(database, "smtp", id=id)
    assert await absent(database, "sendgrid")


async def test_a_row_is_deleted_at_the_end_of_its_process_and_long_after_a_death(
    database: Database, desk: Desk
) -> None:
    ended, dead, live = [await renew(database) for _ in range(3)]
    async with database.statement() as session:
        await processes.remove(session, ended)
    await age(desk, dead, "seen_at", seconds=PRUNED_AFTER + 1)
    await renew(database, id=live)
    assert [row["id"] for row in await desk.query("SELECT id FROM process")] == [live]
