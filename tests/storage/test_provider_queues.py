"""How many notifications wait in Temporal for the rate of a provider, and which ones go on next."""

from uuid import UUID

import pytest

from storage import provider_queues
from storage.database import Database
from storage.provider_queues import MOST, MOST_OF_STALE
from tests.storage.queues import accepted, claim, empty_desk, state_of
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres

QUEUE = """
UPDATE queue_entry SET state = 'started', claimed_by = NULL, started_at = now(), queued_for = 'sendgrid',
       queued_at = now() - make_interval(secs => :age) WHERE notification_id = ANY(:ids)
"""
PARK = """
UPDATE queue_entry SET state = 'waiting', claimed_by = NULL, waits_for = 'provider_busy', busy_provider = 'sendgrid'
 WHERE notification_id = ANY(:ids)
"""


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


async def queued(desk: Desk, count: int, age: float = 0.0) -> list[UUID]:
    """In the queue of the provider since `age` seconds."""
    ids = await accepted(desk, *[3] * count)
    await desk.query(QUEUE, ids=ids, age=age)
    return ids


async def parked(desk: Desk, *priorities: int) -> list[UUID]:
    ids = await accepted(desk, *priorities)
    await desk.query(PARK, ids=ids)
    return ids


async def has_room(desk: Desk, provider: str = "sendgrid") -> bool:
    async with desk.database.transaction() as session:
        return await provider_queues.has_room(session, provider)


async def let_in(desk: Desk) -> int:
    async with desk.database.transaction() as session:
        return await provider_queues.let_in(session, "sendgrid")


@pytest.mark.parametrize(("count", "age", "room"), [(0, 0, True), (MOST - 1, 0, True), (MOST, 0, False)])
async def test_so_many_have_room(desk: Desk, count: int, age: float, room: bool) -> None:
    await queued(desk, count, age)
    assert await has_room(desk) is room
    assert await has_room(desk, "twilio")


async def test_a_queue_that_does_not_move_has_room_for_few(desk: Desk) -> None:
    [oldest] = await queued(desk, 1, age=31)
    await queued(desk, MOST_OF_STALE - 1)
    assert not await has_room(desk)
    await desk.query("UPDATE queue_entry SET queued_at = now() WHERE notification_id = :id", id=oldest)
    assert await has_room(desk)


async def test_the_most_urgent_who_wait_go_on_as_there_is_room(desk: Desk) -> None:
    await queued(desk, MOST - 2)
    bulk, urgent, ordinary = await parked(desk, 5, 1, 3)
    assert await let_in(desk) == 2
    assert [await state_of(desk, id) for id in (bulk, urgent, ordinary)] == ["waiting", "due", "due"]
    assert [one.id for one in await claim(desk.database)] == [urgent, ordinary]


async def test_a_full_queue_lets_nobody_in(desk: Desk) -> None:
    await queued(desk, MOST + 3)
    await parked(desk, 1)
    assert await let_in(desk) == 0
