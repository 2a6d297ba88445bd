"""Test to whom schedules send after recipients subscribe, unsubscribe, move or are erased."""

import asyncio
from typing import Any

import pytest

from storage import erasures, recipients, schedules
from tests.services.schedule_tenants import TYPE, ScheduleTenant
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres


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


async def test_a_topic_without_subscribers_is_reported(schedule_tenant: ScheduleTenant) -> None:
    schedule = await schedule_tenant.schedule(topic="news")
    await schedule_tenant.overdue(schedule)
    await schedule_tenant.tick()
    assert [run.skip_reason for run in await schedule_tenant.runs(schedule)] == ["no_recipients"]


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
