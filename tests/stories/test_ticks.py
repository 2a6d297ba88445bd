"""What ticks for a type stands in Temporal: it is made, follows, goes, and comes back after it was lost."""

from datetime import timedelta

import pytest
from temporalio.client import ScheduleActionStartWorkflow, ScheduleDescription, ScheduleHandle
from temporalio.service import RPCError, RPCStatusCode

from domain.names import TYPE_ATTRIBUTE, tick_schedule
from tests.engine import Shop
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def add_schedule(shop: Shop, cron: str, key: str = "daily") -> None:
    body = {"notification_type": "report", "recipient_id": "ada", "payload": {"name": "Ada"}}
    await shop.ok("PUT", f"/schedules/{key}", {**body, "cron": cron, "timezone": "Europe/Vienna"})


@pytest.fixture
async def tick(shop: Shop) -> ScheduleHandle:
    """Of a type that is sent to one person."""
    await shop.type("report", ["email"])
    await shop.person("ada", email="ada@example.com")
    return shop.engine.temporal.get_schedule_handle(tick_schedule(shop.tenant, "report"))


async def described(tick: ScheduleHandle) -> ScheduleDescription | None:
    try:
        return await tick.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def every(tick: ScheduleHandle) -> list[timedelta]:
    found = await described(tick)
    return [] if found is None else [interval.every for interval in found.schedule.spec.intervals]


async def ticks_every(tick: ScheduleHandle, minutes: int | None) -> None:
    wanted = [] if minutes is None else [timedelta(minutes=minutes)]
    await eventually(lambda: every(tick), lambda seen: seen == wanted)


async def test_an_operator_sees_for_which_type_how_often_and_when_next(shop: Shop, tick: ScheduleHandle) -> None:
    await add_schedule(shop, "0 9 * * *")
    await ticks_every(tick, 15)
    seen = await tick.describe()
    assert "report" in str(seen.schedule.state.note)
    assert len(seen.info.next_action_times) > 1
    assert isinstance(seen.schedule.action, ScheduleActionStartWorkflow)
    assert {pair.key.name: pair.value for pair in seen.typed_search_attributes}[TYPE_ATTRIBUTE] == "report"


async def test_it_ticks_as_often_as_the_finest_rule_needs_and_no_more_when_nothing_is_due(
    shop: Shop, tick: ScheduleHandle
) -> None:
    await add_schedule(shop, "0 9 * * *")
    await ticks_every(tick, 15)
    await add_schedule(shop, "5 9 * * *", "finer")
    await ticks_every(tick, 5)
    await shop.ok("POST", "/schedules/finer/pause")
    await ticks_every(tick, 15)
    await shop.ok("DELETE", "/schedules/daily")
    await ticks_every(tick, None)
    await shop.ok("POST", "/schedules/finer/resume")
    await ticks_every(tick, 5)


async def test_one_that_was_lost_is_made_again(shop: Shop, tick: ScheduleHandle) -> None:
    await add_schedule(shop, "0 9 * * *")
    await ticks_every(tick, 15)
    await tick.delete()
    await ticks_every(tick, None)
    told_long_ago = "UPDATE tick SET ensured_at = now() - interval '2 hours' WHERE tenant = :tenant"
    assert await shop.engine.sql(told_long_ago, tenant=shop.tenant) == 1
    await ticks_every(tick, 15)


async def test_a_tick_sends_what_is_due_and_says_how_much_that_was(shop: Shop, tick: ScheduleHandle) -> None:
    await add_schedule(shop, "0 9 * * *")
    await ticks_every(tick, 15)
    overdue = "UPDATE schedule_turn SET due_at = now() - interval '1 minute' WHERE tenant = :tenant"
    assert await shop.engine.sql(overdue, tenant=shop.tenant) == 1
    await tick.trigger()
    sent = await eventually(shop.outbox, lambda items: len(items) == 1)
    assert sent[0]["recipient_id"] == "ada"
    ran = await eventually(tick.describe, lambda seen: seen.info.num_actions == 1)
    action = ran.info.recent_actions[0].action
    handle = shop.engine.temporal.get_workflow_handle(action.workflow_id)  # type: ignore[attr-defined]
    assert (await handle.result())["done"]["times"] == 1
    assert TYPE_ATTRIBUTE in {pair.key.name for pair in (await handle.describe()).typed_search_attributes}
