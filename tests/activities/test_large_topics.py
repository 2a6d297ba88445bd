"""Schedules of a topic with many subscribers: planned in one transaction, sent a chunk at a time."""

import pytest

from activities.recurring import Recurring
from dispatch.reconsiderations import BATCH_SIZE
from domain.schedules import PEOPLE_AT_ONCE
from storage import notification_types, people, zone_changes
from storage.database import Database
from storage.reconsiderations import reconsider_batch
from tests.activities.test_recurring import TYPE, Office
from tests.storage.sends import KEY, open_desk

pytestmark = pytest.mark.postgres

SIZES = [2_000, pytest.param(100_000, marks=pytest.mark.long)]
AT_ONCE = 10_000
SUBSCRIBERS = """
WITH known AS (
  INSERT INTO recipient (tenant, recipient_id, contact, attributes, created_at, updated_at)
  SELECT :tenant, 'person ' || lpad(n::text, 7, '0'), '{}', '{}', now(), now()
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n RETURNING recipient_id
), preferences AS (
  INSERT INTO user_preference (tenant, user_id, global_channel_opt_in, type_channel_preferences, updated_at)
  SELECT :tenant, recipient_id, '{}', '{}', now() FROM known
)
INSERT INTO topic_subscriber (tenant, topic, recipient_id, created_at)
SELECT :tenant, 'news', recipient_id, now() FROM known
"""


@pytest.fixture
async def office(database: Database) -> Office:
    desk = await open_desk(database)
    spec = {"key": TYPE, "route": [{"channels": ["email"]}], "templates": {"email": "words"}}
    async with database.transaction() as session:
        await notification_types.put(session, desk.tenant, TYPE, spec)
    return Office(desk=desk, recurring=Recurring(database, KEY.bytes))


async def subscribed(office: Office, size: int) -> None:
    for first in range(1, size + 1, AT_ONCE):
        last = min(first + AT_ONCE - 1, size)
        await office.desk.query(SUBSCRIBERS, tenant=office.desk.tenant, first=first, last=last)
    await office.desk.query("ANALYZE recipient, topic_subscriber")


@pytest.mark.parametrize("size", SIZES)
async def test_a_topic_with_many_subscribers_is_sent_to_in_chunks(office: Office, size: int) -> None:
    await subscribed(office, size)
    await office.trigger_only(await office.schedule(topic="news"))
    seen = [await office.recurring.runs(office.desk.tenant, TYPE) for _ in range(3)]
    [run] = await office.desk.query("SELECT * FROM schedule_run WHERE tenant = :tenant", tenant=office.desk.tenant)
    assert 0 < max(seen) <= PEOPLE_AT_ONCE
    assert (run["accepted"], run["finished_at"]) == (sum(seen), None)
    assert run["after"] == f"person {sum(seen):07}"


@pytest.mark.parametrize("size", SIZES)
async def test_each_subscriber_has_a_turn_and_is_sent_to_once(office: Office, size: int) -> None:
    await subscribed(office, size)
    schedule = await office.schedule(topic="news", timezone="recipient")
    assert len(await office.due_at(schedule)) == size
    await office.overdue(schedule)
    seen = [await office.recurring.own_turns(office.desk.tenant, TYPE) for _ in range(3)]
    assert 0 < max(seen) <= PEOPLE_AT_ONCE
    assert len(set(await office.people())) == len(await office.people()) == sum(seen)


async def reconsidered(database: Database) -> int:
    """Return how many batches it took."""
    batches = 0
    while True:
        async with database.transaction() as session:
            if not await reconsider_batch(session, BATCH_SIZE, zone_changes.WORKS):
                return batches
        batches += 1


@pytest.mark.parametrize("size", SIZES)
async def test_the_turns_of_all_subscribers_move_with_the_zone_of_their_tenant(office: Office, size: int) -> None:
    await subscribed(office, size)
    schedule = await office.schedule(topic="news", timezone="recipient")
    before = await office.due_at(schedule)
    await office.desk.query("UPDATE tenant SET timezone = 'Asia/Tokyo' WHERE id = :id", id=office.desk.tenant)
    async with office.desk.database.transaction() as session:
        await people.moved(session, office.desk.tenant, None)
    assert await office.due_at(schedule) == before
    batches = await reconsidered(office.desk.database)
    assert batches >= size // BATCH_SIZE
    after = await office.due_at(schedule)
    assert len(set(after.values())) == 1
    assert set(before.values()).isdisjoint(after.values())
