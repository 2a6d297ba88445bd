"""Test that due occurrences run once in any process, and that skipped recipients are counted."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from domain.clock import now
from domain.schedules import batch_size_for
from storage import erasures, notification_types, recipients, schedule_occurrences, schedules
from storage.database import Database
from tests.services.schedule_tenants import TYPE, ScheduleTenant, open_schedule_tenant
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres


@pytest.fixture
async def schedule_tenant(database: Database) -> ScheduleTenant:
    schedule_tenant = await open_schedule_tenant(database)
    for recipient_id in ("ada", "bob"):
        await schedule_tenant.put_recipient(recipient_id)
    return schedule_tenant


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_concurrent_and_later_ticks_send_once(schedule_tenant: ScheduleTenant, timezone: str) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"], timezone=timezone)
    await schedule_tenant.overdue(schedule)
    await asyncio.gather(schedule_tenant.tick(), schedule_tenant.tick())
    assert await schedule_tenant.tick() == 0
    assert await schedule_tenant.list_sent_to() == ["ada", "bob"]
    assert [run.accepted for run in await schedule_tenant.runs(schedule)] == [2]
    assert min((await schedule_tenant.due_at(schedule)).values()) > now()


async def test_an_occurrence_claimed_by_another_tick_is_left_to_it(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"], timezone="recipient")
    await schedule_tenant.overdue(schedule)
    async with schedule_tenant.database.transaction() as session:
        [claimed] = await schedule_occurrences.claim_occurrences(session, schedule_tenant.tenant, TYPE, 1, own=True)
        assert await schedule_tenant.recurring.run_recipient_occurrences(schedule_tenant.tenant, TYPE) == 1
        assert await schedule_tenant.list_sent_to() == sorted({"ada", "bob"} - {claimed.recipient_id})


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_briefly_locked_occurrence_is_waited_for(schedule_tenant: ScheduleTenant, timezone: str) -> None:
    """The next tick comes a quarter of an hour later."""
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone=timezone)
    await schedule_tenant.overdue(schedule)
    async with schedule_tenant.database.transaction() as session:
        assert await schedule_occurrences.claim_occurrences(
            session, schedule_tenant.tenant, TYPE, 1, own=timezone == "recipient"
        )
        tick = asyncio.create_task(schedule_tenant.tick())
        await until_blocked(schedule_tenant.database, tick)
    await tick
    assert await schedule_tenant.list_sent_to() == ["ada"]


async def test_a_recipient_being_changed_is_waited_for(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone="recipient")
    await schedule_tenant.overdue(schedule)
    async with schedule_tenant.database.transaction() as session:
        assert await recipients.find(session, schedule_tenant.tenant, "ada", lock=True)
        tick = asyncio.create_task(schedule_tenant.tick())
        await until_blocked(schedule_tenant.database, tick)
    await tick
    assert await schedule_tenant.list_sent_to() == ["ada"]


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_time_that_is_due_again_is_not_sent_again(schedule_tenant: ScheduleTenant, timezone: str) -> None:
    """As after a restore: the occurrence is an old one, and the notification exists."""
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone=timezone)
    for _ in range(2):
        await schedule_tenant.overdue(schedule)
        await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada"]


async def test_the_latest_missed_occurrence_is_sent_and_others_are_reported(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"])
    await schedule_tenant.overdue(schedule, timedelta(days=3))
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada", "bob"]
    runs = sorted(await schedule_tenant.runs(schedule), key=lambda run: run.due_at)
    assert [(run.accepted, run.skip_reason) for run in runs] == [(0, "missed")] * 3 + [(2, None)]


async def test_of_each_by_themselves_the_missed_ones_are_counted(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"], timezone="recipient")
    await schedule_tenant.overdue(schedule, timedelta(days=1))
    await schedule_tenant.tick()
    runs = sorted(await schedule_tenant.runs(schedule), key=lambda run: run.due_at)
    assert [(run.accepted, run.skipped_recipients) for run in runs] == [(0, {"missed": 2}), (2, {})]


@pytest.mark.parametrize(
    ("timezone", "expected"),
    [("UTC", ("overlap", {})), ("recipient", (None, {"overlap": 1}))],
    ids=["together", "each"],
)
async def test_an_occurrence_is_skipped_while_another_is_in_progress(
    schedule_tenant: ScheduleTenant, timezone: str, expected: tuple[str | None, dict[str, int]]
) -> None:
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone=timezone, overlap="skip")
    await schedule_tenant.trigger(schedule)
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada"]
    [due] = [run for run in await schedule_tenant.runs(schedule) if run.kind == "due"]
    assert (due.accepted, due.skip_reason, due.skipped_recipients) == (0, *expected)


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_collected_send_is_not_in_progress(schedule_tenant: ScheduleTenant, timezone: str) -> None:
    """Daily sends go into a weekly digest: all of them are in it."""
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone=timezone, overlap="skip")
    await schedule_tenant.trigger(schedule)
    await schedule_tenant.query(
        "UPDATE notification SET digest_key = 'week' WHERE tenant = :t", t=schedule_tenant.tenant
    )
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada", "ada"]


@pytest.mark.parametrize(
    ("timezone", "expected"),
    [("UTC", ("unknown_timezone", {})), ("recipient", (None, {"unknown_timezone": 1}))],
    ids=["together", "each"],
)
async def test_an_unknown_zone_is_reported_and_blocks_no_recipient(
    schedule_tenant: ScheduleTenant, timezone: str, expected: tuple[str | None, dict[str, int]]
) -> None:
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone=timezone)
    await schedule_tenant.move_to_zone(schedule, "Mars/Olympus")
    other = await schedule_tenant.schedule(key="other", recipient_id="bob", timezone="UTC")
    for each in (schedule, other):
        await schedule_tenant.overdue(each)
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["bob"]
    assert [(run.skip_reason, run.skipped_recipients) for run in await schedule_tenant.runs(schedule)] == [expected]
    assert min((await schedule_tenant.due_at(schedule)).values()) > now()


async def test_a_repeated_trigger_sends_again(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"], overlap="skip")
    for _ in range(2):
        await schedule_tenant.trigger(schedule)
    assert await schedule_tenant.list_sent_to() == ["ada", "ada", "bob", "bob"]


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_deleted_type_is_reported_and_due_again(schedule_tenant: ScheduleTenant, timezone: str) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"], timezone=timezone)
    async with schedule_tenant.database.transaction() as session:
        await notification_types.retire(session, schedule_tenant.tenant, TYPE)
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == []
    assert [run.skipped_recipients for run in await schedule_tenant.runs(schedule)] == [{"type_deleted": 2}]
    assert min((await schedule_tenant.due_at(schedule)).values()) > now()


async def test_an_erased_recipient_is_reported_and_the_others_are_sent_to(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"])
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.query(
        "DELETE FROM recipient WHERE tenant = :t AND recipient_id = 'bob'", t=schedule_tenant.tenant
    )
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada"]
    assert [(run.accepted, run.skipped_recipients) for run in await schedule_tenant.runs(schedule)] == [
        (1, {"unknown_recipient": 1})
    ]


async def test_an_erasure_keeps_schedules_of_others_without_the_recipient(schedule_tenant: ScheduleTenant) -> None:
    many = await schedule_tenant.schedule(key="many", recipients=["ada", "bob"], timezone="recipient")
    alone = [
        await schedule_tenant.schedule(key="one", recipient_id="bob"),
        await schedule_tenant.schedule(key="list", recipients=["bob"], timezone="recipient"),
    ]
    async with schedule_tenant.database.transaction() as session:
        erasure = await erasures.erase_at_once(session, schedule_tenant.tenant, "bob")
    assert erasure is not None
    assert (erasure.counts["schedules"], erasure.counts["schedule_occurrences"]) == (3, 3)
    assert list(await schedule_tenant.due_at(many)) == ["ada"]
    assert [await schedule_tenant.due_at(each) for each in alone] == [{}, {}]
    async with schedule_tenant.database.transaction() as session:
        specs = [row.spec for row in await schedules.list_page(session, schedule_tenant.tenant, None, 10)]
    assert "bob" not in str(specs)
    assert [(spec["recipients"], spec["payload"]) for spec in specs] == [
        ([], {}),
        (["ada"], {"figure": 7}),
        ([], {}),
    ]


async def test_a_topic_is_sent_to_its_subscribers_at_that_time(schedule_tenant: ScheduleTenant) -> None:
    each = await schedule_tenant.schedule(key="each", topic="news", timezone="recipient")
    together = await schedule_tenant.schedule(key="together", topic="news")
    assert await schedule_tenant.due_at(each) == {}
    async with schedule_tenant.database.transaction() as session:
        assert await recipients.subscribe(session, schedule_tenant.tenant, "news", "ada")
        assert await recipients.subscribe(session, schedule_tenant.tenant, "news", "bob")
        assert await recipients.unsubscribe(session, schedule_tenant.tenant, "news", "bob")
    assert list(await schedule_tenant.due_at(each)) == ["ada"]
    for schedule in (each, together):
        await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada", "ada"]


@pytest.mark.parametrize(
    "after", [{"topic": "views"}, {"topic": "news", "timezone": "UTC"}, {"recipient_id": "ada"}], ids=str
)
async def test_a_subscription_during_a_topic_change_adds_no_occurrence(
    schedule_tenant: ScheduleTenant, after: dict[str, Any]
) -> None:
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    async with schedule_tenant.database.transaction() as session:
        assert await recipients.subscribe(session, schedule_tenant.tenant, "news", "bob")
        moving = asyncio.create_task(schedule_tenant.schedule(**{"timezone": "recipient", **after}))
        await until_blocked(schedule_tenant.database, moving)
    await moving
    assert "bob" not in await schedule_tenant.due_at(schedule)


async def test_an_unsubscription_from_a_former_topic_keeps_other_occurrences(
    schedule_tenant: ScheduleTenant,
) -> None:
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await schedule_tenant.subscribe("bob", "news", "views")
    spec = {**schedule.spec, "topic": "views"}
    async with schedule_tenant.database.transaction() as session:
        await schedules.put(session, schedule_tenant.tenant, "daily", TYPE, spec)
        leaving = asyncio.create_task(schedule_tenant.unsubscribe("bob", "news"))
        await until_blocked(schedule_tenant.database, leaving)
    await leaving
    assert list(await schedule_tenant.due_at(schedule)) == ["bob"]


async def test_an_unsubscription_during_a_topic_change_leaves_no_occurrence(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(topic="news", timezone="recipient")
    await schedule_tenant.subscribe("bob", "views")
    async with schedule_tenant.database.transaction() as session:
        await schedules.put(session, schedule_tenant.tenant, "daily", TYPE, {**schedule.spec, "topic": "views"})
        leaving = asyncio.create_task(schedule_tenant.unsubscribe("bob", "views"))
        await until_blocked(schedule_tenant.database, leaving)
    await leaving
    assert await schedule_tenant.due_at(schedule) == {}


async def test_a_shared_schedule_has_no_occurrence_per_recipient(schedule_tenant: ScheduleTenant) -> None:
    """A schedule per recipient has no shared occurrence either."""
    together = await schedule_tenant.schedule(key="together", recipient_id="ada")
    each = await schedule_tenant.schedule(key="each", recipient_id="ada", timezone="recipient")
    for schedule, person in ((together, "bob"), (each, "")):
        await schedule_tenant.query(
            "INSERT INTO schedule_occurrence (schedule_id, recipient_id, tenant, notification_type, timezone, due_at)"
            " VALUES (:id, :person, :t, :type, 'UTC', now() - interval '1 minute')",
            id=schedule.id,
            person=person,
            t=schedule_tenant.tenant,
            type=TYPE,
        )
    assert await schedule_tenant.tick() == 0
    assert await schedule_tenant.list_sent_to() == []


async def test_a_topic_without_subscribers_is_reported(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(topic="news")
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert [run.skip_reason for run in await schedule_tenant.runs(schedule)] == ["no_recipients"]


async def test_recipients_beyond_one_statement_are_all_sent_to(schedule_tenant: ScheduleTenant) -> None:
    people = await schedule_tenant.add_recipients(450)
    schedule = await schedule_tenant.schedule(recipients=people)
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == people
    assert [(run.accepted, run.finished_at is None) for run in await schedule_tenant.runs(schedule)] == [(450, False)]


async def test_large_payloads_of_each_by_themselves_go_out_in_smaller_numbers(schedule_tenant: ScheduleTenant) -> None:
    people = await schedule_tenant.add_recipients(40)
    schedule = await schedule_tenant.schedule(
        recipients=people, timezone="recipient", payload={"figure": "x" * 250_000}
    )
    await schedule_tenant.overdue(schedule)
    assert await schedule_tenant.recurring.run_recipient_occurrences(schedule_tenant.tenant, TYPE) == batch_size_for(
        250_015
    )
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == people
    assert [run.accepted for run in await schedule_tenant.runs(schedule)] == [40]


async def test_a_moved_recipient_is_due_in_the_new_zone(schedule_tenant: ScheduleTenant) -> None:
    await schedule_tenant.move_recipient("ada", "Asia/Tokyo")
    schedule = await schedule_tenant.schedule(recipients=["ada", "bob"], timezone="recipient")
    before = await schedule_tenant.due_at(schedule)
    assert (before["ada"].hour, before["bob"].hour) == (3, 12)
    await schedule_tenant.move_recipient("ada", "Asia/Kolkata")
    after = await schedule_tenant.due_at(schedule)
    assert (after["ada"].hour, after["ada"].minute, after["bob"]) == (6, 30, before["bob"])


async def test_a_due_occurrence_is_not_lost_by_a_move(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipient_id="ada", timezone="recipient")
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.move_recipient("ada", "Asia/Tokyo")
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == ["ada"]
    assert (await schedule_tenant.due_at(schedule))["ada"].hour == 3


async def test_saving_a_schedule_again_keeps_due_occurrences(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipient_id="ada")
    await schedule_tenant.overdue(schedule)
    before = await schedule_tenant.due_at(schedule)
    await schedule_tenant.schedule(recipient_id="ada", payload={"figure": 8})
    assert await schedule_tenant.due_at(schedule) == before
    await schedule_tenant.schedule("0 13 * * *", recipient_id="ada")
    assert [due.hour for due in (await schedule_tenant.due_at(schedule)).values()] == [13]


async def test_a_deleted_schedule_is_removed_and_its_run_ends(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(recipient_id="ada")
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.recurring.run_shared_occurrences(schedule_tenant.tenant, TYPE)
    async with schedule_tenant.database.transaction() as session:
        assert await schedules.delete(session, schedule_tenant.tenant, "daily")
    await schedule_tenant.tick()
    assert await schedule_tenant.list_sent_to() == []
    assert [run.skip_reason for run in await schedule_tenant.runs(schedule)] == ["schedule_deleted"]
    named = "SELECT 1 FROM schedule WHERE id = :id AND jsonb_exists_any(spec, '{payload,recipient_id,recipients}')"
    assert await schedule_tenant.query(named, id=schedule.id) == []
