"""Leases of claims: how long a claim lasts, who may mark it as begun, and what is given back."""

from uuid import UUID

import pytest

from storage.database import Database
from tests.storage.queues import (
    NO_LOOK_BACK_LIMIT,
    OTHER_PROCESS,
    PROCESS,
    accept_notifications,
    age_entries,
    claim,
    end_notifications,
    end_waits,
    entry_of,
    ids,
    mark_begun_entries,
    only_database_tenant,
    postpone,
    state_of,
)
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_a_claim_that_is_not_begun_expires_after_twelve_seconds(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database)
    await age_entries(database_tenant, 11)
    assert await end_waits(database_tenant.database) == 0
    await age_entries(database_tenant, 1)
    assert await end_waits(database_tenant.database) == 1
    assert ids(await claim(database_tenant.database, process=OTHER_PROCESS)) == [one]


@pytest.mark.parametrize(("process", "generation"), [(OTHER_PROCESS, 1), (PROCESS, 2)])
async def test_another_process_or_generation_marks_and_postpones_nothing(
    database_tenant: DatabaseTenant, process: UUID, generation: int
) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    [claimed] = await claim(database_tenant.database)
    before = await entry_of(database_tenant, one)
    await mark_begun_entries(database_tenant.database, one, process=process, generation=generation)
    if process == OTHER_PROCESS:
        await postpone(database_tenant.database, [claimed], 60, process=process)
    assert await entry_of(database_tenant, one) == before


async def test_a_late_mark_counts_until_another_process_has_claimed(database_tenant: DatabaseTenant) -> None:
    first, second = await accept_notifications(database_tenant, 3, 3)
    await claim(database_tenant.database)
    await age_entries(database_tenant, 12)
    await end_waits(database_tenant.database)
    await mark_begun_entries(database_tenant.database, first)
    assert await state_of(database_tenant, first) == "started"
    assert ids(await claim(database_tenant.database, process=OTHER_PROCESS)) == [second]
    await mark_begun_entries(database_tenant.database, second)
    assert await state_of(database_tenant, second) == "claimed"


async def test_a_start_refused_by_temporal_is_due_again_later(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 1)
    await postpone(database_tenant.database, await claim(database_tenant.database), 60)
    assert await end_waits(database_tenant.database) == 0
    await age_entries(database_tenant, 60)
    assert await end_waits(database_tenant.database) == 1
    [again] = await claim(database_tenant.database)
    assert (again.id, again.has_workflow) == (one, False)


async def test_an_entry_canceled_while_claimed_is_still_marked(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    claimed = await claim(database_tenant.database)
    await end_notifications(database_tenant, one, canceled=True)
    await age_entries(database_tenant, 60)
    assert await end_waits(database_tenant.database, look_back=NO_LOOK_BACK_LIMIT) == 0
    await postpone(database_tenant.database, claimed, 0)
    assert await claim(database_tenant.database, process=OTHER_PROCESS) == []
    await mark_begun_entries(database_tenant.database, one)
    entry = await entry_of(database_tenant, one)
    assert (entry["state"], entry["cancel_due"], entry["started_at"] is not None) == ("canceled", True, True)
