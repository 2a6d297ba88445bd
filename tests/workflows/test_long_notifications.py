"""Test that a notification with many wakes continues as new runs, so that its history has a bound."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionDescription

from tests.api_tenants import ApiTenant
from tests.polling import eventually
from workflows import options

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

LONG = 12
# For a run with a long history: its calls in progress still end in it.
BOUND = LONG + 40


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make histories count as long early."""
    monkeypatch.setattr(options, "MAX_HISTORY_EVENTS", LONG)


def around_now(minutes: int) -> dict[str, str]:
    at, off = datetime.now(UTC), timedelta(minutes=minutes)
    return {"start": f"{at - off:%H:%M}", "end": f"{at + off:%H:%M}"}


async def set_quiet_hours(api_tenant: ApiTenant, quiet_hours: dict[str, Any] | None) -> None:
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"quiet_hours": quiet_hours})


async def held_by_quiet_hours(api_tenant: ApiTenant, **more: Any) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, around_now(60))
    id = await api_tenant.send("news", **more)
    await wait_for_quiet_hours(api_tenant, id)
    return id


async def wait_for_quiet_hours(api_tenant: ApiTenant, id: str) -> None:
    """Wait until the queue entry waits for the end of the quiet hours."""
    entry = (
        "UPDATE queue_entry SET tenant = tenant"
        " WHERE notification_id = :id AND state = 'waiting' AND waits_for = 'quiet_hours'"
    )
    await eventually(lambda: api_tenant.engine.sql(entry, id=id), bool)


async def described(api_tenant: ApiTenant, id: str) -> WorkflowExecutionDescription:
    return await api_tenant.engine.workflow(id).describe()


async def runs(api_tenant: ApiTenant, id: str) -> list[int]:
    """Return the lengths of the histories of the runs, the first one first."""
    lengths, run = [], (await described(api_tenant, id)).raw_description.workflow_execution_info.first_run_id
    while run:
        handle = api_tenant.engine.temporal.get_workflow_handle(api_tenant.engine.workflow(id).id, run_id=run)
        events = (await handle.fetch_history()).events
        lengths.append(len(events))
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return lengths


async def signals(api_tenant: ApiTenant, id: str) -> int:
    history = await api_tenant.engine.workflow(id).fetch_history()
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED for event in history.events)


def bounded(lengths: Sequence[int]) -> bool:
    return len(lengths) > 1 and max(lengths) <= BOUND


async def woken_until_renewed(api_tenant: ApiTenant, id: str) -> None:
    """Wake the workflow by changes of the quiet hours, which hold it each time."""
    first = (await described(api_tenant, id)).run_id
    for minutes in range(61, 90):
        await set_quiet_hours(api_tenant, around_now(minutes))
        await wait_for_quiet_hours(api_tenant, id)
        if (await described(api_tenant, id)).run_id != first:
            return
    raise AssertionError("it is still the same run")


async def test_unchanged_preferences_wake_no_workflow(api_tenant: ApiTenant) -> None:
    id = await held_by_quiet_hours(api_tenant)
    hours = around_now(61)
    for _ in range(15):
        await set_quiet_hours(api_tenant, hours)
    await wait_for_quiet_hours(api_tenant, id)
    await set_quiet_hours(api_tenant, None)
    await api_tenant.wait_for_end(id, "DELIVERED")
    assert await signals(api_tenant, id) == 2


@pytest.mark.usefixtures("short")
async def test_a_long_wait_takes_several_runs_and_sends_once(api_tenant: ApiTenant) -> None:
    id = await held_by_quiet_hours(api_tenant, priority=4)
    await woken_until_renewed(api_tenant, id)
    seen = await described(api_tenant, id)
    assert seen.typed_search_attributes[options.TYPE] == "news"
    priority = seen.raw_description.workflow_execution_info.priority
    assert (priority.priority_key, priority.fairness_key) == (4, str(api_tenant.tenant))
    await woken_until_renewed(api_tenant, id)
    await set_quiet_hours(api_tenant, None)
    await api_tenant.wait_for_end(id, "DELIVERED")
    assert bounded(await runs(api_tenant, id))
    assert len(await api_tenant.list_outbox()) == 1


@pytest.mark.usefixtures("short")
async def test_a_cancel_is_obeyed_by_a_later_run(api_tenant: ApiTenant) -> None:
    id = await held_by_quiet_hours(api_tenant)
    await woken_until_renewed(api_tenant, id)
    await api_tenant.cancel(id)
    await api_tenant.wait_for_end(id, "CANCELED")
    await eventually(lambda: described(api_tenant, id), lambda seen: seen.close_time is not None)
    assert await api_tenant.list_outbox() == []


@pytest.mark.usefixtures("short")
async def test_the_expiry_is_obeyed_by_a_later_run(api_tenant: ApiTenant) -> None:
    id = await held_by_quiet_hours(api_tenant, expires_in="15s")
    await woken_until_renewed(api_tenant, id)
    await api_tenant.wait_for_end(id, "EXPIRED")
    assert await api_tenant.list_outbox() == []


@pytest.mark.usefixtures("short")
async def test_retries_in_several_runs_share_one_time_limit_and_deliver_once(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["push", "email"], give_up_after="8s")
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    await api_tenant.put_device("ada", "phone", "token-good")
    await api_tenant.put_device("ada", "tablet", "token-error-1")
    id = await api_tenant.send("news")
    shown = await api_tenant.wait_until_finished(id, within=120)
    assert bounded(await runs(api_tenant, id))
    assert len(await api_tenant.list_outbox(recipient_id="ada")) == 1
    [email] = [delivery for delivery in shown["deliveries"] if delivery["channel"] == "email"]
    assert email["status"] == "FAILED"
    assert email["failure_reason"].startswith("retries_exhausted: ")
    times = sorted(datetime.fromisoformat(attempt["started_at"]) for attempt in email["attempts"])
    began, ended = times[0], times[-1]
    assert ended - began < timedelta(seconds=8)


@pytest.mark.usefixtures("short")
async def test_a_repeatedly_paused_send_waits_in_several_runs(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news")
    resume = "UPDATE queue_entry SET state = 'due', next_at = now() WHERE notification_id = :id AND state = 'waiting'"
    for _ in range(6):
        await eventually(lambda: api_tenant.engine.sql(resume, id=id), bool)
    await api_tenant.call("POST", "/channels/email/resume")
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert bounded(await runs(api_tenant, id))
    assert len(shown["deliveries"][0]["attempts"]) == len(await api_tenant.list_outbox()) == 1
