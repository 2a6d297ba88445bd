"""Test that due occurrences run once in any process, and that skipped recipients are counted."""

import asyncio
from datetime import timedelta

import pytest

from domain.clock import now
from domain.schedules import batch_size_for
from storage import notification_types, recipients, schedule_occurrences, schedules
from tests.services.schedule_tenants import TYPE, ScheduleTenant
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres


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
