"""Test schedules of a topic with many subscribers: planned and sent in batches."""

import pytest

from dispatch.large_changes import RECONSIDERATION_BATCH_SIZE, SchedulePlanTask
from domain.clock import now
from domain.schedules import MAX_BATCH_RECIPIENTS
from storage import reconsiderations, schedules
from storage.database import Database
from storage.reconsiderations import reconsider_batch
from storage.schedules import PlanProgress, StoredSchedule
from tests.services.schedule_tenants import TYPE, ScheduleTenant, open_schedule_tenant

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

COUNT_PLANNED = "SELECT count(*) FROM schedule_occurrence WHERE schedule_id = :id AND due_at > now()"


@pytest.fixture
async def schedule_tenant(database: Database) -> ScheduleTenant:
    return await open_schedule_tenant(database)


async def subscribed(schedule_tenant: ScheduleTenant, size: int) -> None:
    for first in range(1, size + 1, AT_ONCE):
        last = min(first + AT_ONCE - 1, size)
        await schedule_tenant.query(SUBSCRIBERS, tenant=schedule_tenant.tenant, first=first, last=last)
    await schedule_tenant.query("ANALYZE recipient, topic_subscriber")


@pytest.mark.parametrize("size", SIZES)
async def test_a_topic_with_many_subscribers_is_sent_to_in_chunks(schedule_tenant: ScheduleTenant, size: int) -> None:
    await subscribed(schedule_tenant, size)
    await schedule_tenant.trigger_only(await schedule_tenant.schedule(topic="news"))
    seen = [await schedule_tenant.recurring.continue_run_of_type(schedule_tenant.tenant, TYPE) for _ in range(3)]
    [run] = await schedule_tenant.query(
        "SELECT * FROM schedule_run WHERE tenant = :tenant", tenant=schedule_tenant.tenant
    )
    assert 0 < max(seen) <= MAX_BATCH_RECIPIENTS
    assert (run["accepted"], run["finished_at"]) == (sum(seen), None)
    assert run["after"] == f"person {sum(seen):07}"


async def planning(schedule_tenant: ScheduleTenant, schedule: StoredSchedule) -> PlanProgress | None:
    async with schedule_tenant.database.transaction() as session:
        return await schedules.find_progress(session, schedule.id)


async def continued(schedule_tenant: ScheduleTenant) -> bool:
    """Return whether there was a batch to plan."""
    async with schedule_tenant.database.transaction() as session:
        return await schedules.plan_next_batch(session) is not None


async def interrupted(schedule_tenant: ScheduleTenant) -> None:
    """Stop as if the process were killed before it commits its batch."""
    async with schedule_tenant.database.transaction() as session:
        await schedules.plan_next_batch(session)
        raise ConnectionAbortedError


async def planned(schedule_tenant: ScheduleTenant) -> None:
    while await continued(schedule_tenant):
        pass


async def done(schedule_tenant: ScheduleTenant, schedule: StoredSchedule) -> int:
    found = await planning(schedule_tenant, schedule)
    assert found is not None
    return found.planned_count


@pytest.mark.parametrize("size", SIZES)
async def test_each_subscriber_has_an_occurrence_and_is_sent_to_once(
    schedule_tenant: ScheduleTenant, size: int
) -> None:
    await subscribed(schedule_tenant, size)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    assert len(await schedule_tenant.due_at(schedule)) == await done(schedule_tenant, schedule) == schedules.BATCH_SIZE
    await planned(schedule_tenant)
    [planned_turns] = await schedule_tenant.query(COUNT_PLANNED, id=schedule.id)
    assert planned_turns["count"] == size
    await schedule_tenant.overdue(schedule)
    seen = [await schedule_tenant.recurring.run_recipient_occurrences(schedule_tenant.tenant, TYPE) for _ in range(3)]
    assert 0 < max(seen) <= MAX_BATCH_RECIPIENTS
    assert len(set(await schedule_tenant.list_sent_to())) == len(await schedule_tenant.list_sent_to()) == sum(seen)


async def test_a_plan_that_is_interrupted_resumes_behind_its_last_batch(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    for _ in range(2):
        with pytest.raises(ConnectionAbortedError):
            await interrupted(schedule_tenant)
        assert len(await schedule_tenant.due_at(schedule)) == await done(schedule_tenant, schedule) == 500
    assert await continued(schedule_tenant)
    assert len(await schedule_tenant.due_at(schedule)) == await done(schedule_tenant, schedule) == 1_000
    await planned(schedule_tenant)
    assert await planning(schedule_tenant, schedule) is None
    due_at = await schedule_tenant.due_at(schedule)
    assert len(due_at) == FEW
    assert len(set(due_at.values())) == 1


async def test_schedules_are_planned_round_robin(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, 2_000)
    both = [await schedule_tenant.schedule(key=key, topic="news", timezone="recipient") for key in ("daily", "weekly")]
    for number in (1_000, 1_500):
        for _ in both:
            assert await continued(schedule_tenant)
        assert [await done(schedule_tenant, each) for each in both] == [number, number]
    await planned(schedule_tenant)


async def test_an_unplanned_occurrence_is_not_due(schedule_tenant: ScheduleTenant) -> None:
    """It is an occurrence of the rule before the change."""
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.schedule(topic="news", timezone="recipient", cron="0 13 * * *")
    assert await schedule_tenant.recurring.run_recipient_occurrences(schedule_tenant.tenant, TYPE) == 0
    await planned(schedule_tenant)
    assert await schedule_tenant.recurring.run_recipient_occurrences(schedule_tenant.tenant, TYPE) == 0
    assert {due_at.hour for due_at in (await schedule_tenant.due_at(schedule)).values()} == {13}


async def test_a_time_that_passes_while_it_is_planned_is_sent_once(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await schedule_tenant.query("UPDATE schedule_plan SET since = since - interval '1 day'")
    plans = SchedulePlanTask(schedule_tenant.database, schedule_tenant.recurring)
    while not await plans.plan_batch():
        pass
    expected = [f"person {number:07}" for number in range(501, FEW + 1)]
    assert await schedule_tenant.list_sent_to() == expected
    await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    assert await schedule_tenant.tick() == 0
    assert await schedule_tenant.list_sent_to() == expected
    assert min((await schedule_tenant.due_at(schedule)).values()) > now()


async def test_a_change_of_the_payload_plans_nothing_and_ends_no_plan(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    before = await planning(schedule_tenant, schedule)
    await schedule_tenant.schedule(topic="news", timezone="recipient", payload={"figure": 8})
    assert await planning(schedule_tenant, schedule) == before
    await planned(schedule_tenant)
    await schedule_tenant.schedule(topic="news", timezone="recipient", payload={"figure": 9})
    assert await planning(schedule_tenant, schedule) is None


async def test_another_topic_during_a_plan_forgets_no_change_of_the_rule(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    await schedule_tenant.query(ALSO_OF_VIEWS, tenant=schedule_tenant.tenant)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    for topic in ("news", "views"):
        await schedule_tenant.schedule(topic=topic, timezone="recipient", cron="0 13 * * *")
    await planned(schedule_tenant)
    assert {due_at.hour for due_at in (await schedule_tenant.due_at(schedule)).values()} == {13}


async def test_all_occurrences_wait_during_a_pause_and_are_due_afterwards(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    for change, resting in ((schedules.pause, True), (schedules.resume, False)):
        async with schedule_tenant.database.transaction() as session:
            assert await change(session, schedule_tenant.tenant, schedule.key)
        await planned(schedule_tenant)
        assert [due_at is None for due_at in (await schedule_tenant.due_at(schedule)).values()] == [resting] * FEW


async def test_a_schedule_that_leaves_its_topic_loses_all_occurrences(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    await schedule_tenant.schedule(recipients=["person 0000700"], timezone="recipient")
    await planned(schedule_tenant)
    assert list(await schedule_tenant.due_at(schedule)) == ["person 0000700"]
    async with schedule_tenant.database.transaction() as session:
        assert await schedules.delete(session, schedule_tenant.tenant, schedule.key)
    assert await schedule_tenant.due_at(schedule) == {}


async def test_a_deleted_schedule_loses_all_occurrences(schedule_tenant: ScheduleTenant) -> None:
    await subscribed(schedule_tenant, FEW)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    async with schedule_tenant.database.transaction() as session:
        assert await schedules.delete(session, schedule_tenant.tenant, schedule.key)
    await schedule_tenant.overdue(schedule)
    assert await schedule_tenant.tick() == 0
    await planned(schedule_tenant)
    assert await schedule_tenant.due_at(schedule) == {}


async def reconsidered(database: Database) -> int:
    """Return how many batches it took."""
    batches = 0
    while True:
        async with database.transaction() as session:
            if not await reconsider_batch(session, RECONSIDERATION_BATCH_SIZE):
                return batches
        batches += 1


@pytest.mark.parametrize("size", SIZES)
async def test_all_occurrences_move_with_the_zone_of_their_tenant(schedule_tenant: ScheduleTenant, size: int) -> None:
    await subscribed(schedule_tenant, size)
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await planned(schedule_tenant)
    before = await schedule_tenant.due_at(schedule)
    await schedule_tenant.query("UPDATE tenant SET timezone = 'Asia/Tokyo' WHERE id = :id", id=schedule_tenant.tenant)
    async with schedule_tenant.database.transaction() as session:
        await reconsiderations.apply_timezone_changes(session, schedule_tenant.tenant, None)
    assert await schedule_tenant.due_at(schedule) == before
    batches = await reconsidered(schedule_tenant.database)
    assert batches >= size // RECONSIDERATION_BATCH_SIZE
    after = await schedule_tenant.due_at(schedule)
    assert len(set(after.values())) == 1
    assert set(before.values()).isdisjoint(after.values())
