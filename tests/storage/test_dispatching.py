"""What becomes of started rows: stores that are lost, workflows that are gone, looks after them, cancels."""

from uuid import UUID

import pytest

from storage import dispatching
from storage.database import Database
from tests.storage.queues import accepted, claim, empty_desk, ended, entry_of, ids, mark, started
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


async def due(database: Database) -> list[UUID]:
    return ids(await claim(database))


async def strays(database: Database, limit: int = 100) -> list[UUID]:
    async with database.transaction() as session:
        return [stray[0] for stray in await dispatching.strays(session, limit)]


@pytest.mark.parametrize(("canceled", "marked"), [(True, True), (False, False)])
async def test_a_finished_row_is_marked_as_started_only_if_it_is_canceled(
    desk: Desk, canceled: bool, marked: bool
) -> None:
    """Its workflow may wait for hours yet: the signal goes to those that were started."""
    [one] = await accepted(desk, 3)
    await claim(desk.database)
    await ended(desk, one, canceled=canceled)
    await mark(desk.database, one)
    async with desk.database.transaction() as session:
        signals = [found[0] for found in await dispatching.unsignaled_cancels(session, 100)]
    assert (one in signals) is marked


async def again(desk: Desk, one: UUID) -> None:
    await desk.query(
        "UPDATE queue_entry SET generation = 2, state = 'due', started_at = NULL, claimed_by = NULL, next_at = now()"
        " WHERE notification_id = :id",
        id=one,
    )


async def test_a_start_that_is_noted_after_a_redrive_is_not_that_of_the_new_generation(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await claim(desk.database)
    await again(desk, one)
    await mark(desk.database, one, generation=1)
    assert await due(desk.database) == [one]
    await mark(desk.database, one, generation=2)
    assert (await entry_of(desk, one))["state"] == "started"


@pytest.mark.parametrize(
    ("open_for", "next_look"), [(61, 61), (30, 60), (130, 130), (1900, 1900), (3700, 3600), (864_000, 3600)]
)
async def test_an_open_row_is_looked_after_less_and_less_often(desk: Desk, open_for: int, next_look: int) -> None:
    """After as long again as it has been open, at least a minute and at most an hour later. In seconds."""
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    await desk.query(
        "UPDATE queue_entry SET started_at = now() - make_interval(secs => :ago), next_at = now()", ago=open_for
    )
    assert await strays(desk.database) == [one]
    [row] = await desk.query("SELECT extract(epoch FROM next_at - now()) AS seconds FROM queue_entry")
    assert next_look - 5 < row["seconds"] < next_look + 5


async def test_the_first_look_comes_a_minute_after_the_start(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '50 seconds'")
    assert await strays(desk.database) == []
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '10 seconds'")
    assert await strays(desk.database) == [one]


async def test_a_look_counts_as_one_and_what_waits_or_is_over_needs_none(desk: Desk) -> None:
    one, done, _waiting = await accepted(desk, 3, 3, 3)
    await started(desk.database, one, done)
    await ended(desk, done)
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '1 hour' WHERE started_at IS NOT NULL")
    assert await strays(desk.database) == [one]
    assert await strays(desk.database) == []


async def test_a_workflow_that_is_gone_is_started_again(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    async with desk.database.transaction() as session:
        await dispatching.redispatch(session, one, 1)
    assert await due(desk.database) == [one]


async def test_a_cancel_is_signalled_once_and_only_where_a_workflow_may_wait(desk: Desk) -> None:
    one, unstarted, _other = await accepted(desk, 3, 3, 3)
    await started(desk.database, one)
    await ended(desk, one, unstarted, canceled=True)
    async with desk.database.transaction() as session:
        assert await dispatching.unsignaled_cancels(session, 10) == [(one, desk.tenant, 1)]
        await dispatching.mark_signaled(session, [(one, desk.tenant, 1)])
        assert await dispatching.unsignaled_cancels(session, 10) == []


async def test_a_signaled_cancel_of_a_former_generation_leaves_that_of_the_new_one_due(desk: Desk) -> None:
    """It was redriven and cancelled once more while Temporal was told of the first cancel."""
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    await desk.query("UPDATE queue_entry SET cancel_due = true")
    async with desk.database.transaction() as session:
        due = await dispatching.unsignaled_cancels(session, 100)
    assert [(found[0], found[2]) for found in due] == [(one, 1)]
    await desk.query("UPDATE queue_entry SET generation = 2")
    async with desk.database.transaction() as session:
        await dispatching.mark_signaled(session, due)
    assert (await entry_of(desk, one))["cancel_due"]
    async with desk.database.transaction() as session:
        await dispatching.mark_signaled(session, await dispatching.unsignaled_cancels(session, 100))
    assert not (await entry_of(desk, one))["cancel_due"]
