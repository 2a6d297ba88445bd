"""Schedules of a topic with many subscribers: planned in batches, sent a chunk at a time."""

import pytest

from activities.recurring import Recurring
from dispatch.reconsiderations import BATCH_SIZE
from dispatch.schedule_plans import SchedulePlans
from domain.clock import now
from domain.schedules import PEOPLE_AT_ONCE
from storage import notification_types, people, schedule_plans, schedules, zone_changes
from storage.database import Database
from storage.reconsiderations import reconsider_batch
from storage.schedule_plans import Planning
from storage.schedules import Schedule
from tests.activities.test_recurring import TYPE, Office
from tests.storage.sends import KEY, open_desk

pytestmark = pytest.mark.postgres

SIZES = [2_000, pytest.param(100_000, marks=pytest.mark.long)]
FEW = 1_200  # planned in three batches
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

ALSO_OF_VIEWS = """
INSERT INTO topic_subscriber SELECT tenant, 'views', recipient_id, now() FROM topic_subscriber WHERE tenant = :tenant
"""

COUNT_PLANNED = "SELECT count(*) FROM schedule_turn WHERE schedule_id = :id AND due_at > now()"


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


async def planning(office: Office, schedule: Schedule) -> Planning | None:
    async with office.desk.database.transaction() as session:
        return await schedule_plans.find(session, schedule.id)


async def continued(office: Office) -> bool:
    """Whether there was a batch to plan."""
    async with office.desk.database.transaction() as session:
        return await schedule_plans.continue_batch(session) is not None


async def interrupted(office: Office) -> None:
    """As if the process were killed before it commits its batch."""
    async with office.desk.database.transaction() as session:
        await schedule_plans.continue_batch(session)
        raise ConnectionAbortedError


async def planned(office: Office) -> None:
    while await continued(office):
        pass


async def done(office: Office, schedule: Schedule) -> int:
    found = await planning(office, schedule)
    assert found is not None
    return found.planned


@pytest.mark.parametrize("size", SIZES)
async def test_each_subscriber_has_a_turn_and_is_sent_to_once(office: Office, size: int) -> None:
    await subscribed(office, size)
    schedule = await office.schedule(topic="news", timezone="recipient")
    assert len(await office.due_at(schedule)) == await done(office, schedule) == schedule_plans.BATCH_SIZE
    await planned(office)
    [planned_turns] = await office.desk.query(COUNT_PLANNED, id=schedule.id)
    assert planned_turns["count"] == size
    await office.overdue(schedule)
    seen = [await office.recurring.own_turns(office.desk.tenant, TYPE) for _ in range(3)]
    assert 0 < max(seen) <= PEOPLE_AT_ONCE
    assert len(set(await office.people())) == len(await office.people()) == sum(seen)


async def test_a_plan_that_is_interrupted_resumes_behind_its_last_batch(office: Office) -> None:
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    for _ in range(2):
        with pytest.raises(ConnectionAbortedError):
            await interrupted(office)
        assert len(await office.due_at(schedule)) == await done(office, schedule) == 500
    assert await continued(office)
    assert len(await office.due_at(schedule)) == await done(office, schedule) == 1_000
    await planned(office)
    assert await planning(office, schedule) is None
    due_at = await office.due_at(schedule)
    assert len(due_at) == FEW
    assert len(set(due_at.values())) == 1


async def test_schedules_are_planned_in_turn(office: Office) -> None:
    await subscribed(office, 2_000)
    both = [await office.schedule(key=key, topic="news", timezone="recipient") for key in ("daily", "weekly")]
    for number in (1_000, 1_500):
        for _ in both:
            assert await continued(office)
        assert [await done(office, each) for each in both] == [number, number]
    await planned(office)


async def test_a_turn_that_is_not_planned_yet_is_not_due(office: Office) -> None:
    """It is one of the rule before the change."""
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    await planned(office)
    await office.overdue(schedule)
    await office.schedule(topic="news", timezone="recipient", cron="0 13 * * *")
    assert await office.recurring.own_turns(office.desk.tenant, TYPE) == 0
    await planned(office)
    assert await office.recurring.own_turns(office.desk.tenant, TYPE) == 0
    assert {due_at.hour for due_at in (await office.due_at(schedule)).values()} == {13}


async def test_a_time_that_passes_while_it_is_planned_is_sent_once(office: Office) -> None:
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    await office.desk.query("UPDATE schedule_plan SET since = since - interval '1 day'")
    plans = SchedulePlans(office.desk.database, office.recurring)
    while not await plans.plan():
        pass
    expected = [f"person {number:07}" for number in range(501, FEW + 1)]
    assert await office.people() == expected
    await office.schedule(topic="news", timezone="recipient")
    await planned(office)
    assert await office.tick() == 0
    assert await office.people() == expected
    assert min((await office.due_at(schedule)).values()) > now()


async def test_a_change_of_the_payload_plans_nothing_and_ends_no_plan(office: Office) -> None:
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    before = await planning(office, schedule)
    await office.schedule(topic="news", timezone="recipient", payload={"figure": 8})
    assert await planning(office, schedule) == before
    await planned(office)
    await office.schedule(topic="news", timezone="recipient", payload={"figure": 9})
    assert await planning(office, schedule) is None


async def test_another_topic_during_a_plan_forgets_no_change_of_the_rule(office: Office) -> None:
    await subscribed(office, FEW)
    await office.desk.query(ALSO_OF_VIEWS, tenant=office.desk.tenant)
    schedule = await office.schedule(topic="news", timezone="recipient")
    await planned(office)
    for topic in ("news", "views"):
        await office.schedule(topic=topic, timezone="recipient", cron="0 13 * * *")
    await planned(office)
    assert {due_at.hour for due_at in (await office.due_at(schedule)).values()} == {13}


async def test_all_turns_rest_during_a_pause_and_are_due_after_it(office: Office) -> None:
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    await planned(office)
    for change, resting in ((schedules.pause, True), (schedules.resume, False)):
        async with office.desk.database.transaction() as session:
            assert await change(session, office.desk.tenant, schedule.key)
        await planned(office)
        assert [due_at is None for due_at in (await office.due_at(schedule)).values()] == [resting] * FEW


async def test_a_schedule_that_leaves_its_topic_loses_the_turns_of_all_subscribers(office: Office) -> None:
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    await planned(office)
    await office.schedule(recipients=["person 0000700"], timezone="recipient")
    await planned(office)
    assert list(await office.due_at(schedule)) == ["person 0000700"]
    async with office.desk.database.transaction() as session:
        assert await schedules.delete(session, office.desk.tenant, schedule.key)
    assert await office.due_at(schedule) == {}


async def test_a_deleted_schedule_loses_the_turns_of_all_subscribers(office: Office) -> None:
    await subscribed(office, FEW)
    schedule = await office.schedule(topic="news", timezone="recipient")
    await planned(office)
    async with office.desk.database.transaction() as session:
        assert await schedules.delete(session, office.desk.tenant, schedule.key)
    await office.overdue(schedule)
    assert await office.tick() == 0
    await planned(office)
    assert await office.due_at(schedule) == {}


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
    await planned(office)
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
