"""Record time gates, limits and schedules. The stories of digests and ticks return the id of their workflow."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from temporalio.api.enums.v1 import EventType

from tests.api_tenants import ApiTenant
from tests.engine import Handle
from tests.histories.stories import HistoryStory
from tests.polling import eventually
from workflows.digest import DigestWorkflow

TIMER = EventType.EVENT_TYPE_TIMER_STARTED
ACTIVITY = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
SIGNAL = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


async def rechecked_in_quiet_hours(api_tenant: ApiTenant) -> str:
    """Move the recipient to a zone with the same hour, and then to one outside the quiet hours."""
    id = await send_in_quiet_hours(api_tenant, 60)
    workflow = await api_tenant.engine.wait_for_start(id)
    for timers, zone in enumerate(("Africa/Abidjan", "Asia/Tokyo"), start=1):
        await wait_for_events(workflow, TIMER, timers)
        await api_tenant.call("PATCH", "/recipients/ada", {"timezone": zone})
    return id


async def quiet_hours_ended(api_tenant: ApiTenant) -> str:
    return await send_in_quiet_hours(api_tenant, 1.5)  # to the minute


async def canceled_in_quiet_hours(api_tenant: ApiTenant) -> str:
    id = await send_in_quiet_hours(api_tenant, 60)
    await wait_for_events(await api_tenant.engine.wait_for_start(id), TIMER)
    await api_tenant.cancel(id)
    return id


async def expired_in_quiet_hours(api_tenant: ApiTenant) -> str:
    return await send_in_quiet_hours(api_tenant, 60, expires_in="3s")


async def retry_into_quiet_hours(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+flaky@example.com", timezone="UTC")
    id = await api_tenant.send("news")
    await eventually(lambda: api_tenant.notification(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    await set_quiet_hours(api_tenant, hours_ending_in(60))
    await waits_for(api_tenant, id, "quiet_hours")
    await set_quiet_hours(api_tenant, None)
    return id


async def deferred_by_a_throttle(api_tenant: ApiTenant) -> str:
    _, id = await throttled(api_tenant, "3s", "defer")
    await waits_for(api_tenant, id, "throttled")
    return id


async def dropped_by_a_throttle(api_tenant: ApiTenant) -> str:
    _, id = await throttled(api_tenant, "1h", "drop")
    return id


async def collected_by_a_throttle(api_tenant: ApiTenant) -> str:
    _, id = await throttled(api_tenant, "1h", "digest", digest={"window": "1s"})
    return id


async def made_by_a_digest(api_tenant: ApiTenant) -> str:
    await news(api_tenant, digest={"window": "1s"})
    shown = [await api_tenant.wait_until_finished(id) for id in [await api_tenant.send("news") for _ in range(2)]]
    return str(shown[-1]["digest"]["notification_id"])


async def digest_closed(api_tenant: ApiTenant) -> str:
    return (await open_digest(api_tenant, {"window": "1s"})).id


async def digest_window_extended(api_tenant: ApiTenant) -> str:
    """Let the window slide: it closes later than its first timer."""
    workflow = await open_digest(api_tenant, {"window": "3s", "sliding": True, "max_window": "1h"})
    await wait_for_events(workflow, TIMER)
    await api_tenant.send("news")
    return workflow.id


async def digest_signaled_next_window(api_tenant: ApiTenant) -> str:
    """Fill the first window before its time, so that the next one is opened."""
    workflow = await open_digest(api_tenant, {"window": "5s", "max_items": 2})
    await wait_for_events(workflow, TIMER)
    for _ in range(2):
        await api_tenant.send("news")
    await wait_for_events(workflow, SIGNAL)
    return workflow.id


async def digest_signaled_while_closing(api_tenant: ApiTenant) -> str:
    """Lock the window, so that closing takes long."""
    workflow = await open_digest(api_tenant, {"window": "2s"})
    async with api_tenant.engine.container.database.transaction() as session:
        held = text("SELECT id FROM digest WHERE tenant = :tenant FOR UPDATE")
        (await session.execute(held, {"tenant": api_tenant.tenant})).scalar_one()
        await wait_for_events(workflow, ACTIVITY)
        await workflow.signal(DigestWorkflow.window_opened)
        await wait_for_events(workflow, SIGNAL)
    return workflow.id


async def tick_closed_a_digest(api_tenant: ApiTenant) -> str:
    await news(api_tenant, digest={"schedule": "0 9 * * *"})
    id = await api_tenant.send("news")
    await eventually(lambda: api_tenant.notification(id), lambda shown: shown["digest"] is not None)
    await overdue(api_tenant, "digest", "closes_at")
    return await api_tenant.trigger_tick()


async def tick_sent_occurrences(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    rule = {"cron": "0 9 * * *", "timezone": "Europe/Vienna"}
    body = {"notification_type": "news", "recipients": ["ada"], "payload": {"name": "Ada"}}
    await api_tenant.call("PUT", "/schedules/daily", {**body, **rule})
    await overdue(api_tenant, "schedule_occurrence", "due_at")
    return await api_tenant.trigger_tick()


def hours_ending_in(minutes: float) -> dict[str, str]:
    """Return hours that end this many minutes from now."""
    at = datetime.now(UTC)
    start, end = at - timedelta(hours=1), at + timedelta(minutes=minutes)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}


async def set_quiet_hours(api_tenant: ApiTenant, quiet_hours: dict[str, str] | None) -> None:
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"quiet_hours": quiet_hours})


async def send_in_quiet_hours(api_tenant: ApiTenant, minutes: float, **more: Any) -> str:
    """Return a notification that waits for the end of the quiet hours."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, hours_ending_in(minutes))
    id = await api_tenant.send("news", **more)
    await waits_for(api_tenant, id, "quiet_hours")
    return id


async def throttled(api_tenant: ApiTenant, per: str, on_exceed: str, **more: Any) -> Sequence[str]:
    """Return the one that was admitted, and the one that exceeds the limit."""
    await news(api_tenant, throttle={"limit": 1, "per": per, "on_exceed": on_exceed}, **more)
    first = await api_tenant.send("news")
    await api_tenant.wait_until_finished(first)
    return first, await api_tenant.send("news")


async def waits_for(api_tenant: ApiTenant, id: str, why: str) -> None:
    await eventually(lambda: api_tenant.notification(id), lambda shown: shown["waits_for"] == why)


async def news(api_tenant: ApiTenant, **more: Any) -> None:
    await api_tenant.add_template(
        "news", "email", "{{ total }} items" if "digest" in more else "One", subject_template="News"
    )
    route = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}}
    await api_tenant.call("PUT", "/notification-types/news", {**route, **more})
    await api_tenant.put_recipient("ada", email="ada@example.com")


async def open_digest(api_tenant: ApiTenant, digest: dict[str, Any]) -> Handle:
    """Return the workflow of a digest with one item."""
    await news(api_tenant, digest=digest)
    id = await api_tenant.send("news")
    shown = await eventually(lambda: api_tenant.notification(id), lambda shown: shown["digest"] is not None)
    return await api_tenant.engine.wait_for_workflow(shown["workflow_id"])


async def overdue(api_tenant: ApiTenant, table: str, column: str) -> None:
    statement = f"UPDATE {table} SET {column} = now() - interval '1 minute' WHERE tenant = :tenant"
    if await api_tenant.engine.sql(statement, tenant=api_tenant.tenant) != 1:
        raise LookupError("there is nothing to be late")


async def wait_for_events(workflow: Handle, event_type: EventType.ValueType, times: int = 1) -> None:
    """Wait until the history has this many of these events."""
    await eventually(
        workflow.fetch_history,
        lambda history: sum(event.event_type == event_type for event in history.events) >= times,
    )


TIMED: dict[str, HistoryStory] = {
    story.__name__: story
    for story in (
        rechecked_in_quiet_hours,
        quiet_hours_ended,
        canceled_in_quiet_hours,
        expired_in_quiet_hours,
        retry_into_quiet_hours,
        deferred_by_a_throttle,
        dropped_by_a_throttle,
        collected_by_a_throttle,
        made_by_a_digest,
    )
}

# These return the id of a workflow that is not a notification's.
CLOCKS: dict[str, HistoryStory] = {
    story.__name__: story
    for story in (
        digest_closed,
        digest_window_extended,
        digest_signaled_next_window,
        digest_signaled_while_closing,
        tick_closed_a_digest,
        tick_sent_occurrences,
    )
}
