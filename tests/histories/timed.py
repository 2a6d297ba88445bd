"""What happened by the hour, by the amount and by the calendar: beside the notifications also digests and ticks, whose
stories give the id of their workflow."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from temporalio.api.enums.v1 import EventType

from tests.engine import Handle, Shop
from tests.histories.stories import Story
from tests.polling import eventually
from workflows.digest import DigestWorkflow

TIMER = EventType.EVENT_TYPE_TIMER_STARTED
ACTIVITY = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
SIGNAL = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


async def asked_again_in_quiet_hours(shop: Shop) -> str:
    """In a zone where it is as late, and then in one where it is not."""
    id = await quiet(shop, 60)
    workflow = await shop.engine.started(id)
    for timers, zone in enumerate(("Africa/Abidjan", "Asia/Tokyo"), start=1):
        await has(workflow, TIMER, timers)
        await shop.ok("PATCH", "/recipients/ada", {"timezone": zone})
    return id


async def quiet_hours_were_over(shop: Shop) -> str:
    return await quiet(shop, 1.5)  # to the minute


async def canceled_in_quiet_hours(shop: Shop) -> str:
    id = await quiet(shop, 60)
    await has(await shop.engine.started(id), TIMER)
    await shop.cancel(id)
    return id


async def expired_in_quiet_hours(shop: Shop) -> str:
    return await quiet(shop, 60, expires_in="3s")


async def retry_into_quiet_hours(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+flaky@example.com", timezone="UTC")
    id = await shop.send("news")
    await eventually(lambda: shop.shown(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    await choose(shop, until(60))
    await waits_for(shop, id, "quiet_hours")
    await choose(shop, None)
    return id


async def deferred_by_a_throttle(shop: Shop) -> str:
    _, id = await throttled(shop, "3s", "defer")
    await waits_for(shop, id, "throttled")
    return id


async def dropped_by_a_throttle(shop: Shop) -> str:
    _, id = await throttled(shop, "1h", "drop")
    return id


async def collected_by_a_throttle(shop: Shop) -> str:
    _, id = await throttled(shop, "1h", "digest", digest={"window": "1s"})
    return id


async def made_by_a_digest(shop: Shop) -> str:
    await news(shop, digest={"window": "1s"})
    shown = [await shop.finished(id) for id in [await shop.send("news") for _ in range(2)]]
    return str(shown[-1]["digest"]["notification_id"])


async def digest_closed(shop: Shop) -> str:
    return (await opened(shop, {"window": "1s"})).id


async def digest_moved_by_an_item(shop: Shop) -> str:
    """Its window slides: when the first timer is over it closes only later."""
    workflow = await opened(shop, {"window": "3s", "sliding": True, "at_most": "1h"})
    await has(workflow, TIMER)
    await shop.send("news")
    return workflow.id


async def digest_told_of_the_next_window(shop: Shop) -> str:
    """Its first one is full before its time, and the next one is opened."""
    workflow = await opened(shop, {"window": "5s", "max_items": 2})
    await has(workflow, TIMER)
    for _ in range(2):
        await shop.send("news")
    await has(workflow, SIGNAL)
    return workflow.id


async def digest_told_while_it_closes(shop: Shop) -> str:
    """Somebody holds its window, so that closing takes long."""
    workflow = await opened(shop, {"window": "2s"})
    async with shop.engine.parts.database.transaction() as session:
        held = text("SELECT id FROM digest WHERE tenant = :tenant FOR UPDATE")
        (await session.execute(held, {"tenant": shop.tenant})).scalar_one()
        await has(workflow, ACTIVITY)
        await workflow.signal(DigestWorkflow.opened)
        await has(workflow, SIGNAL)
    return workflow.id


async def tick_closed_a_digest(shop: Shop) -> str:
    await news(shop, digest={"schedule": "0 9 * * *"})
    id = await shop.send("news")
    await eventually(lambda: shop.shown(id), lambda shown: shown["digest"] is not None)
    await overdue(shop, "digest", "closes_at")
    return await shop.tick()


async def tick_sent_what_recurs(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    rule = {"cron": "0 9 * * *", "timezone": "Europe/Vienna"}
    body = {"notification_type": "news", "recipients": ["ada"], "payload": {"name": "Ada"}}
    await shop.ok("PUT", "/schedules/daily", {**body, **rule})
    await overdue(shop, "schedule_turn", "due_at")
    return await shop.tick()


def until(minutes: float) -> dict[str, str]:
    """Hours that end so many minutes from now."""
    at = datetime.now(UTC)
    start, end = at - timedelta(hours=1), at + timedelta(minutes=minutes)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}


async def choose(shop: Shop, quiet_hours: dict[str, str] | None) -> None:
    await shop.ok("PUT", "/recipients/ada/preferences", {"quiet_hours": quiet_hours})


async def quiet(shop: Shop, minutes: float, **more: Any) -> str:
    """One that waits for the end of the quiet hours."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, until(minutes))
    id = await shop.send("news", **more)
    await waits_for(shop, id, "quiet_hours")
    return id


async def throttled(shop: Shop, per: str, on_exceed: str, **more: Any) -> Sequence[str]:
    """The one that was let through, and the one that exceeds it."""
    await news(shop, throttle={"limit": 1, "per": per, "on_exceed": on_exceed}, **more)
    first = await shop.send("news")
    await shop.finished(first)
    return first, await shop.send("news")


async def waits_for(shop: Shop, id: str, why: str) -> None:
    await eventually(lambda: shop.shown(id), lambda shown: shown["waits_for"] == why)


async def news(shop: Shop, **more: Any) -> None:
    await shop.template("news", "email", "{{ total }} items" if "digest" in more else "One", subject_template="News")
    route = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}}
    await shop.ok("PUT", "/notification-types/news", {**route, **more})
    await shop.person("ada", email="ada@example.com")


async def opened(shop: Shop, digest: dict[str, Any]) -> Handle:
    """The workflow of a digest with one item."""
    await news(shop, digest=digest)
    id = await shop.send("news")
    shown = await eventually(lambda: shop.shown(id), lambda shown: shown["digest"] is not None)
    return await shop.engine.begun(shown["workflow_id"])


async def overdue(shop: Shop, table: str, column: str) -> None:
    statement = f"UPDATE {table} SET {column} = now() - interval '1 minute' WHERE tenant = :tenant"
    if await shop.engine.sql(statement, tenant=shop.tenant) != 1:
        raise LookupError("there is nothing to be late")


async def has(workflow: Handle, event_type: EventType.ValueType, times: int = 1) -> None:
    """As soon as its history has so many of these."""
    await eventually(
        workflow.fetch_history,
        lambda history: sum(event.event_type == event_type for event in history.events) >= times,
    )


TIMED: dict[str, Story] = {
    story.__name__: story
    for story in (
        asked_again_in_quiet_hours,
        quiet_hours_were_over,
        canceled_in_quiet_hours,
        expired_in_quiet_hours,
        retry_into_quiet_hours,
        deferred_by_a_throttle,
        dropped_by_a_throttle,
        collected_by_a_throttle,
        made_by_a_digest,
    )
}

# These give the id of a workflow that is no notification's.
CLOCKS: dict[str, Story] = {
    story.__name__: story
    for story in (
        digest_closed,
        digest_moved_by_an_item,
        digest_told_of_the_next_window,
        digest_told_while_it_closes,
        tick_closed_a_digest,
        tick_sent_what_recurs,
    )
}
