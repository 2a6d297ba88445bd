"""Sending again: each dead letter gets one new generation, also under concurrency, and starts when it may."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from domain.evidence import AttemptState
from domain.names import workflow_id
from domain.statuses import NotificationStatus
from storage import dead_letters, holds
from storage.dead_letters import PlannedRedrive, RedriveTarget
from storage.notifications import NotificationFilter
from tests.storage.locks import until_blocked
from tests.storage.queues import claim, end_waits
from tests.storage.queues import ids as ids_of
from tests.storage.redrive_targets import failed, found, redrive
from tests.storage.sends import KEY, DatabaseSend, DatabaseTenant

__all__ = ["failed"]

pytestmark = pytest.mark.postgres


async def test_a_redriven_row_restarts_and_records_its_author(failed: DatabaseSend) -> None:
    before = await failed.row()
    assert await redrive(failed.database_tenant, *await found(failed.database_tenant)) == {failed.id}
    row = await failed.row()
    changed = {name for name in row if row[name] != before[name]}
    assert changed == {"status", "failure_reason", "failures", "finished_at", "generation", "revision"}
    assert (row["status"], row["failure_reason"], row["finished_at"]) == ("PENDING", None, None)
    assert (row["generation"], row["revision"]) == (2, before["revision"] + 1)
    [redrive_event] = [event for event in await failed.rows("event") if event["kind"] == "redriven"]
    assert (redrive_event["status"], redrive_event["detail"]) == ("PENDING", {"generation": 2, "key": str(KEY)})
    assert await failed.statuses() == ["PENDING", "FAILED", "PENDING"]


async def test_a_forced_redrive_of_a_doubt_is_recorded(database_tenant: DatabaseTenant) -> None:
    doubtful = await (await database_tenant.send()).failed(AttemptState.UNKNOWN)
    [one] = await found(database_tenant)
    assert one.candidate.status is NotificationStatus.IN_DOUBT
    await redrive(database_tenant, one)
    [redrive_event] = [event for event in await doubtful.rows("event") if event["kind"] == "redriven"]
    assert redrive_event["detail"] == {"generation": 2, "key": str(KEY), "forced": True}


async def test_a_cancel_and_a_start_of_the_last_generation_are_forgotten(failed: DatabaseSend) -> None:
    await failed.database_tenant.query(
        "UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=failed.id
    )
    await failed.database_tenant.query(
        "INSERT INTO queue_entry"
        " (notification_id, generation, tenant, priority, state, next_at, started_at, cancel_due)"
        " VALUES (:id, 1, :tenant, 3, 'canceled', now(), now(), true)",
        **{"id": failed.id, "tenant": failed.database_tenant.tenant},
    )
    await redrive(failed.database_tenant, *await found(failed.database_tenant))
    assert (await failed.row())["cancel_requested_at"] is None
    entry = await failed.entry()
    assert entry is not None
    assert [entry[name] for name in ("generation", "state", "cancel_due", "started_at")] == [2, "due", False, None]


async def test_waits_of_the_former_generation_end(failed: DatabaseSend) -> None:
    await failed.database_tenant.query(
        "UPDATE delivery SET awaited_evidence = 'opened', held_at = now(), held_providers = '{sandbox}'"
        " WHERE notification_id = :id",
        id=failed.id,
    )
    await redrive(failed.database_tenant, *await found(failed.database_tenant))
    assert [(row["awaited_evidence"], row["held_at"]) for row in await failed.rows("delivery")] == [(None, None)]
    async with failed.database_tenant.database.transaction() as session:
        assert await holds.release_held(session, 10) == 0


async def test_a_row_that_moved_on_since_it_was_read_is_left_alone(failed: DatabaseSend) -> None:
    [one] = await found(failed.database_tenant)
    assert await redrive(failed.database_tenant, replace(one, revision=one.revision - 1)) == set()
    assert await failed.statuses() == ["PENDING", "FAILED"]


async def test_of_many_at_once_one_wins_and_there_is_one_generation(failed: DatabaseSend) -> None:
    async def one() -> set[UUID]:
        async with failed.database_tenant.database.transaction() as session:
            seen = await dead_letters.find_targets(
                session, failed.database_tenant.tenant, NotificationFilter(), limit=10, lock=True
            )
            return await dead_letters.redrive(
                session, failed.database_tenant.tenant, [PlannedRedrive(target=each) for each in seen], KEY
            )

    async def another() -> set[UUID]:
        async with failed.database_tenant.database.transaction() as session:
            seen = await dead_letters.lock_target(session, failed.database_tenant.tenant, failed.id)
            is_failed = seen is not None and seen.candidate.status is NotificationStatus.FAILED
            again = [PlannedRedrive(target=seen)] if seen is not None and is_failed else []
            return await dead_letters.redrive(session, failed.database_tenant.tenant, again, KEY)

    won = await asyncio.gather(*(step() for _ in range(5) for step in (one, another)))
    assert sorted(map(len, won)) == [0] * 9 + [1]
    assert (await failed.row())["generation"] == 2
    assert await failed.statuses() == ["PENDING", "FAILED", "PENDING"]


@pytest.mark.parametrize("by_filter", [False, True])
async def test_a_read_of_a_row_being_redriven_waits_and_sees_pending(failed: DatabaseSend, by_filter: bool) -> None:
    async def look() -> list[RedriveTarget]:
        async with failed.database_tenant.database.transaction() as session:
            if by_filter:
                return await dead_letters.find_targets(
                    session, failed.database_tenant.tenant, NotificationFilter(), limit=10, lock=True
                )
            one = await dead_letters.lock_target(session, failed.database_tenant.tenant, failed.id)
            return [one] if one else []

    async with failed.database_tenant.database.transaction() as session:
        seen = await dead_letters.find_targets(
            session, failed.database_tenant.tenant, NotificationFilter(), limit=10, lock=True
        )
        await dead_letters.redrive(
            session, failed.database_tenant.tenant, [PlannedRedrive(target=one) for one in seen], KEY
        )
        waiting = asyncio.create_task(look())
        await until_blocked(failed.database_tenant.database, waiting)
    statuses = [one.candidate.status for one in await waiting]
    assert statuses == ([] if by_filter else [NotificationStatus.PENDING])


async def test_it_is_due_for_the_dispatcher_as_its_next_workflow(failed: DatabaseSend) -> None:
    await redrive(failed.database_tenant, *await found(failed.database_tenant))
    [one] = [each for each in await claim(failed.database_tenant.database) if each.id == failed.id]
    assert workflow_id(one.id, one.generation) == f"notification-{failed.id}-2"
    assert not one.has_workflow


async def test_before_its_time_it_is_not_due(failed: DatabaseSend) -> None:
    await redrive(failed.database_tenant, *await found(failed.database_tenant), delay=60)
    await end_waits(failed.database_tenant.database)
    assert failed.id not in ids_of(await claim(failed.database_tenant.database))
    [row] = await failed.database_tenant.query(
        "SELECT next_at > now() + interval '50 s' AND next_at < now() + interval '61 s' AS soon "
        "FROM queue_entry WHERE notification_id = :id",
        id=failed.id,
    )
    assert row["soon"]
    await failed.database_tenant.query(
        "UPDATE queue_entry SET next_at = next_at - interval '60 s' WHERE notification_id = :id", id=failed.id
    )
    await end_waits(failed.database_tenant.database)
    assert failed.id in ids_of(await claim(failed.database_tenant.database))


async def test_another_tenants_are_neither_found_nor_redriven(failed: DatabaseSend) -> None:
    [one] = await found(failed.database_tenant)
    other_tenant = uuid4()
    assert await found(failed.database_tenant, tenant=other_tenant) == []
    async with failed.database_tenant.database.transaction() as session:
        assert await dead_letters.lock_target(session, other_tenant, failed.id) is None
        assert await dead_letters.redrive(session, other_tenant, [PlannedRedrive(target=one)], KEY) == set()
    assert (await failed.row())["generation"] == 1
