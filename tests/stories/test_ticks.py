"""What ticks for a type stands in Temporal: it is made, follows, goes, and comes back after it was lost."""

from datetime import timedelta

import pytest
from temporalio.client import ScheduleActionStartWorkflow, ScheduleDescription, ScheduleHandle
from temporalio.service import RPCError, RPCStatusCode

from domain.names import tick_schedule
from tests.engine import ApiTenant
from tests.polling import eventually
from workflows import options

SENT = "TocsinSchedule = 'daily' AND TocsinTenant = '{}' AND WorkflowType = 'NotificationWorkflow'"
pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def add_schedule(api_tenant: ApiTenant, cron: str, key: str = "daily") -> None:
    body = {"notification_type": "report", "recipient_id": "ada", "payload": {"name": "Ada"}}
    await api_tenant.call("PUT", f"/schedules/{key}", {**body, "cron": cron, "timezone": "Europe/Vienna"})


@pytest.fixture
async def tick(api_tenant: ApiTenant) -> ScheduleHandle:
    """Of a type that is sent to one person."""
    await api_tenant.put_type("report", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    return api_tenant.engine.temporal.get_schedule_handle(tick_schedule(api_tenant.tenant, "report"))


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


async def test_an_operator_sees_for_which_type_how_often_and_when_next(
    api_tenant: ApiTenant, tick: ScheduleHandle
) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await ticks_every(tick, 15)
    seen = await tick.describe()
    assert "report" in str(seen.schedule.state.note)
    assert len(seen.info.next_action_times) > 1
    assert isinstance(seen.schedule.action, ScheduleActionStartWorkflow)
    assert seen.typed_search_attributes[options.TYPE] == "report"
    assert seen.typed_search_attributes[options.TENANT] == api_tenant.tenant_key


async def test_ticks_are_as_frequent_as_the_finest_rule_needs(api_tenant: ApiTenant, tick: ScheduleHandle) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await ticks_every(tick, 15)
    await add_schedule(api_tenant, "5 9 * * *", "finer")
    await ticks_every(tick, 5)
    await api_tenant.call("POST", "/schedules/finer/pause")
    await ticks_every(tick, 15)
    await api_tenant.call("DELETE", "/schedules/finer")
    await api_tenant.call("DELETE", "/schedules/daily")
    await ticks_every(tick, None)


async def test_a_schedule_is_found_in_temporal_by_key_and_shows_its_pause(
    api_tenant: ApiTenant, tick: ScheduleHandle
) -> None:
    for key in ("daily", "weekly"):
        await add_schedule(api_tenant, "0 9 * * *", key)

    async def shown(key: str) -> list[tuple[bool, str | None]]:
        query = f"TocsinSchedule = '{key}' AND TocsinTenant = '{api_tenant.tenant_key}'"
        found = [each async for each in await api_tenant.engine.temporal.list_schedules(query)]
        return [(one.schedule.state.paused, one.schedule.state.note) for one in found if one.schedule]

    note = "report: what is due by the calendar, {}. Schedules: daily{}, weekly{}"
    often, never = "every 15 min", "nothing for now"
    await eventually(lambda: shown("weekly"), lambda seen: seen == [(False, note.format(often, "", ""))])
    await api_tenant.call("POST", "/schedules/weekly/pause")
    await eventually(lambda: shown("daily"), lambda seen: seen == [(False, note.format(often, "", " (paused)"))])
    await api_tenant.call("POST", "/schedules/daily/pause")
    all_paused = note.format(never, " (paused)", " (paused)")
    await eventually(lambda: shown("weekly"), lambda seen: seen == [(True, all_paused)])
    await api_tenant.call("POST", "/schedules/weekly/resume")
    await eventually(lambda: shown("weekly"), lambda seen: seen == [(False, note.format(often, " (paused)", ""))])


async def test_a_pause_that_was_made_in_temporal_is_taken_back(api_tenant: ApiTenant, tick: ScheduleHandle) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await ticks_every(tick, 15)
    await tick.pause(note="by an operator")
    told_long_ago = "UPDATE tick SET synced_at = now() - interval '2 hours' WHERE tenant = :tenant"
    await eventually(lambda: api_tenant.engine.sql(told_long_ago, tenant=api_tenant.tenant), bool)
    await eventually(tick.describe, lambda seen: not seen.schedule.state.paused)


async def test_one_that_was_lost_is_made_again(api_tenant: ApiTenant, tick: ScheduleHandle) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await ticks_every(tick, 15)
    await tick.delete()
    await ticks_every(tick, None)
    told_long_ago = "UPDATE tick SET synced_at = now() - interval '2 hours' WHERE tenant = :tenant"
    assert await api_tenant.engine.sql(told_long_ago, tenant=api_tenant.tenant) == 1
    await ticks_every(tick, 15)


async def test_a_tick_sends_due_occurrences_and_reports_their_number(
    api_tenant: ApiTenant, tick: ScheduleHandle
) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await ticks_every(tick, 15)
    overdue = "UPDATE schedule_occurrence SET due_at = now() - interval '1 minute' WHERE tenant = :tenant"
    assert await api_tenant.engine.sql(overdue, tenant=api_tenant.tenant) == 1
    await tick.trigger()
    sent = await eventually(api_tenant.list_outbox, lambda items: len(items) == 1)
    assert sent[0]["recipient_id"] == "ada"
    ran = await eventually(tick.describe, lambda seen: seen.info.num_actions == 1)
    action = ran.info.recent_actions[0].action
    handle = api_tenant.engine.temporal.get_workflow_handle(action.workflow_id)  # type: ignore[attr-defined]
    assert (await handle.result())["done"]["times"] == 1
    assert (await handle.describe()).typed_search_attributes[options.SCHEDULE] == ["daily"]
    found = [each.id async for each in api_tenant.engine.temporal.list_workflows(SENT.format(api_tenant.tenant_key))]
    assert found == [(await api_tenant.notification(sent[0]["notification_id"]))["workflow_id"]]
