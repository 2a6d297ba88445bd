"""Check the Temporal Schedule of a type's ticks: it is created, updated, deleted, and created again after a loss."""

from datetime import timedelta

import pytest
from temporalio.client import ScheduleActionStartWorkflow, ScheduleDescription, ScheduleHandle
from temporalio.service import RPCError, RPCStatusCode

from domain.names import tick_schedule
from tests.api_tenants import ApiTenant
from tests.polling import eventually
from workflows import options

SENT_QUERY = "TocsinSchedule = 'daily' AND TocsinTenant = '{}' AND WorkflowType = 'NotificationWorkflow'"
pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def add_schedule(api_tenant: ApiTenant, cron: str, key: str = "daily") -> None:
    body = {"notification_type": "report", "recipient_id": "ada", "payload": {"name": "Ada"}}
    await api_tenant.call("PUT", f"/schedules/{key}", {**body, "cron": cron, "timezone": "Europe/Vienna"})


@pytest.fixture
async def tick_handle(api_tenant: ApiTenant) -> ScheduleHandle:
    """Return the handle of the Temporal Schedule of a type with one recipient."""
    await api_tenant.put_type("report", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    return api_tenant.engine.temporal.get_schedule_handle(tick_schedule(api_tenant.tenant, "report"))


async def describe_or_none(tick_handle: ScheduleHandle) -> ScheduleDescription | None:
    try:
        return await tick_handle.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def list_intervals(tick_handle: ScheduleHandle) -> list[timedelta]:
    found = await describe_or_none(tick_handle)
    return [] if found is None else [interval.every for interval in found.schedule.spec.intervals]


async def wait_for_interval(tick_handle: ScheduleHandle, minutes: int | None) -> None:
    expected = [] if minutes is None else [timedelta(minutes=minutes)]
    await eventually(lambda: list_intervals(tick_handle), lambda intervals: intervals == expected)


async def test_the_temporal_schedule_shows_type_frequency_and_next_ticks(
    api_tenant: ApiTenant, tick_handle: ScheduleHandle
) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await wait_for_interval(tick_handle, 15)
    description = await tick_handle.describe()
    assert "report" in str(description.schedule.state.note)
    assert len(description.info.next_action_times) > 1
    assert isinstance(description.schedule.action, ScheduleActionStartWorkflow)
    assert description.typed_search_attributes[options.TYPE] == "report"
    assert description.typed_search_attributes[options.TENANT] == api_tenant.tenant_key


async def test_ticks_are_as_frequent_as_the_finest_rule_needs(
    api_tenant: ApiTenant, tick_handle: ScheduleHandle
) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await wait_for_interval(tick_handle, 15)
    await add_schedule(api_tenant, "5 9 * * *", "finer")
    await wait_for_interval(tick_handle, 5)
    await api_tenant.call("POST", "/schedules/finer/pause")
    await wait_for_interval(tick_handle, 15)
    await api_tenant.call("DELETE", "/schedules/finer")
    await api_tenant.call("DELETE", "/schedules/daily")
    await wait_for_interval(tick_handle, None)


async def test_a_search_in_temporal_finds_a_schedule_and_shows_its_pause(
    api_tenant: ApiTenant, tick_handle: ScheduleHandle
) -> None:
    for key in ("daily", "weekly"):
        await add_schedule(api_tenant, "0 9 * * *", key)

    async def list_states(key: str) -> list[tuple[bool, str | None]]:
        query = f"TocsinSchedule = '{key}' AND TocsinTenant = '{api_tenant.tenant_key}'"
        found = [schedule async for schedule in await api_tenant.engine.temporal.list_schedules(query)]
        return [(one.schedule.state.paused, one.schedule.state.note) for one in found if one.schedule]

    note = "report: what is due by the calendar, {}. Schedules: daily{}, weekly{}"
    interval_note, pause_note = "every 15 min", "nothing for now"
    await eventually(
        lambda: list_states("weekly"), lambda states: states == [(False, note.format(interval_note, "", ""))]
    )
    await api_tenant.call("POST", "/schedules/weekly/pause")
    await eventually(
        lambda: list_states("daily"), lambda states: states == [(False, note.format(interval_note, "", " (paused)"))]
    )
    await api_tenant.call("POST", "/schedules/daily/pause")
    all_paused = note.format(pause_note, " (paused)", " (paused)")
    await eventually(lambda: list_states("weekly"), lambda states: states == [(True, all_paused)])
    await api_tenant.call("POST", "/schedules/weekly/resume")
    await eventually(
        lambda: list_states("weekly"), lambda states: states == [(False, note.format(interval_note, " (paused)", ""))]
    )


async def test_a_pause_in_temporal_is_reverted(api_tenant: ApiTenant, tick_handle: ScheduleHandle) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await wait_for_interval(tick_handle, 15)
    await tick_handle.pause(note="by an operator")
    age_last_sync = "UPDATE tick SET synced_at = now() - interval '2 hours' WHERE tenant = :tenant"
    await eventually(lambda: api_tenant.engine.sql(age_last_sync, tenant=api_tenant.tenant), bool)
    await eventually(tick_handle.describe, lambda found: not found.schedule.state.paused)


async def test_a_deleted_temporal_schedule_is_created_again(api_tenant: ApiTenant, tick_handle: ScheduleHandle) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await wait_for_interval(tick_handle, 15)
    await tick_handle.delete()
    await wait_for_interval(tick_handle, None)
    age_last_sync = "UPDATE tick SET synced_at = now() - interval '2 hours' WHERE tenant = :tenant"
    assert await api_tenant.engine.sql(age_last_sync, tenant=api_tenant.tenant) == 1
    await wait_for_interval(tick_handle, 15)


async def test_a_tick_sends_due_occurrences_and_reports_their_number(
    api_tenant: ApiTenant, tick_handle: ScheduleHandle
) -> None:
    await add_schedule(api_tenant, "0 9 * * *")
    await wait_for_interval(tick_handle, 15)
    make_overdue = "UPDATE schedule_occurrence SET due_at = now() - interval '1 minute' WHERE tenant = :tenant"
    assert await api_tenant.engine.sql(make_overdue, tenant=api_tenant.tenant) == 1
    await tick_handle.trigger()
    sent = await eventually(api_tenant.list_outbox, lambda items: len(items) == 1)
    assert sent[0]["recipient_id"] == "ada"
    description = await eventually(tick_handle.describe, lambda found: found.info.num_actions == 1)
    action = description.info.recent_actions[0].action
    handle = api_tenant.engine.temporal.get_workflow_handle(action.workflow_id)  # type: ignore[attr-defined]
    assert (await handle.result())["done"]["shared_occurrences"] == 1
    assert (await handle.describe()).typed_search_attributes[options.SCHEDULE] == ["daily"]
    found = [
        execution.id
        async for execution in api_tenant.engine.temporal.list_workflows(SENT_QUERY.format(api_tenant.tenant_key))
    ]
    assert found == [(await api_tenant.notification(sent[0]["notification_id"]))["workflow_id"]]
