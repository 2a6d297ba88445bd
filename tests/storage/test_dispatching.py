"""What becomes of started rows: stores that are lost, workflows that are gone, looks after them, cancels."""

from uuid import UUID

import pytest

from storage import claims
from storage.database import Database
from tests.storage.queues import (
    accept_notifications,
    claim,
    claim_and_start,
    end_notifications,
    entry_of,
    ids,
    mark_begun_entries,
    only_database_tenant,
)
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def due(database: Database) -> list[UUID]:
    return ids(await claim(database))


async def find_orphans(database: Database, limit: int = 100) -> list[UUID]:
    async with database.transaction() as session:
        return [orphan[0] for orphan in await claims.claim_orphans(session, limit)]


@pytest.mark.parametrize(("canceled", "marked"), [(True, True), (False, False)])
async def test_a_finished_row_is_marked_as_started_only_if_it_is_canceled(
    database_tenant: DatabaseTenant, canceled: bool, marked: bool
) -> None:
    """Its workflow may wait for hours yet: the signal goes to those that were started."""
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database)
    await end_notifications(database_tenant, one, canceled=canceled)
    await mark_begun_entries(database_tenant.database, one)
    async with database_tenant.database.transaction() as session:
        signals = [found[0] for found in await claims.list_unsignaled_cancels(session, 100)]
    assert (one in signals) is marked


async def again(database_tenant: DatabaseTenant, one: UUID) -> None:
    await database_tenant.query(
        "UPDATE queue_entry SET generation = 2, state = 'due', started_at = NULL, claimed_by = NULL, next_at = now()"
        " WHERE notification_id = :id",
        id=one,
    )


async def test_a_start_noted_after_a_redrive_does_not_mark_the_new_generation(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database)
    await again(database_tenant, one)
    await mark_begun_entries(database_tenant.database, one, generation=1)
    assert await due(database_tenant.database) == [one]
    await mark_begun_entries(database_tenant.database, one, generation=2)
    assert (await entry_of(database_tenant, one))["state"] == "started"


@pytest.mark.parametrize(
    ("open_for", "next_look"), [(61, 61), (30, 60), (130, 130), (1900, 1900), (3700, 3600), (864_000, 3600)]
)
async def test_an_open_row_is_looked_after_less_and_less_often(
    database_tenant: DatabaseTenant, open_for: int, next_look: int
) -> None:
    """After as long again as it has been open, at least a minute and at most an hour later. In seconds."""
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    await database_tenant.query(
        "UPDATE queue_entry SET started_at = now() - make_interval(secs => :ago), next_at = now()", ago=open_for
    )
    assert await find_orphans(database_tenant.database) == [one]
    [row] = await database_tenant.query("SELECT extract(epoch FROM next_at - now()) AS seconds FROM queue_entry")
    assert next_look - 5 < row["seconds"] < next_look + 5


async def test_the_first_look_comes_a_minute_after_the_start(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    await database_tenant.query("UPDATE queue_entry SET next_at = next_at - interval '50 seconds'")
    assert await find_orphans(database_tenant.database) == []
    await database_tenant.query("UPDATE queue_entry SET next_at = next_at - interval '10 seconds'")
    assert await find_orphans(database_tenant.database) == [one]


async def test_a_check_counts_once_and_waiting_or_ended_ones_need_none(database_tenant: DatabaseTenant) -> None:
    one, done, _waiting = await accept_notifications(database_tenant, 3, 3, 3)
    await claim_and_start(database_tenant.database, one, done)
    await end_notifications(database_tenant, done)
    await database_tenant.query(
        "UPDATE queue_entry SET next_at = next_at - interval '1 hour' WHERE started_at IS NOT NULL"
    )
    assert await find_orphans(database_tenant.database) == [one]
    assert await find_orphans(database_tenant.database) == []


async def test_a_missing_workflow_is_started_again(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    async with database_tenant.database.transaction() as session:
        await claims.redispatch(session, one, 1)
    assert await due(database_tenant.database) == [one]


async def test_a_cancel_is_signalled_once_and_only_where_a_workflow_may_wait(database_tenant: DatabaseTenant) -> None:
    one, unstarted, _other = await accept_notifications(database_tenant, 3, 3, 3)
    await claim_and_start(database_tenant.database, one)
    await end_notifications(database_tenant, one, unstarted, canceled=True)
    async with database_tenant.database.transaction() as session:
        assert await claims.list_unsignaled_cancels(session, 10) == [(one, database_tenant.tenant, 1)]
        await claims.mark_cancels_signaled(session, [(one, database_tenant.tenant, 1)])
        assert await claims.list_unsignaled_cancels(session, 10) == []


async def test_a_signaled_cancel_of_a_former_generation_leaves_the_new_one_due(database_tenant: DatabaseTenant) -> None:
    """The notification was redriven and canceled again while Temporal received the first cancel."""
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    await database_tenant.query("UPDATE queue_entry SET cancel_due = true")
    async with database_tenant.database.transaction() as session:
        due = await claims.list_unsignaled_cancels(session, 100)
    assert [(found[0], found[2]) for found in due] == [(one, 1)]
    await database_tenant.query("UPDATE queue_entry SET generation = 2")
    async with database_tenant.database.transaction() as session:
        await claims.mark_cancels_signaled(session, due)
    assert (await entry_of(database_tenant, one))["cancel_due"]
    async with database_tenant.database.transaction() as session:
        await claims.mark_cancels_signaled(session, await claims.list_unsignaled_cancels(session, 100))
    assert not (await entry_of(database_tenant, one))["cancel_due"]
