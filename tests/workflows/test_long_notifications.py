"""A notification that waits for long, and is woken often, goes on as a new run: its history has a bound."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionDescription

from tests.engine import Shop
from tests.polling import eventually
from workflows import options

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

LONG = 12
# Of a run that has grown long: what it has under way then still ends in it.
BOUND = LONG + 40


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories are long early."""
    monkeypatch.setattr(options, "LONG_HISTORY", LONG)


def around_now(minutes: int) -> dict[str, str]:
    at, off = datetime.now(UTC), timedelta(minutes=minutes)
    return {"start": f"{at - off:%H:%M}", "end": f"{at + off:%H:%M}"}


async def choose(shop: Shop, quiet_hours: dict[str, Any] | None) -> None:
    await shop.ok("PUT", "/recipients/ada/preferences", {"quiet_hours": quiet_hours})


async def held_by_quiet_hours(shop: Shop, **more: Any) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now(60))
    id = await shop.send("news", **more)
    await waits(shop, id)
    return id


async def waits(shop: Shop, id: str) -> None:
    """Its queue entry waits for the end of the quiet hours."""
    entry = (
        "UPDATE queue_entry SET tenant = tenant"
        " WHERE notification_id = :id AND state = 'waiting' AND waits_for = 'quiet_hours'"
    )
    await eventually(lambda: shop.engine.sql(entry, id=id), bool)


async def described(shop: Shop, id: str) -> WorkflowExecutionDescription:
    return await shop.engine.workflow(id).describe()


async def runs(shop: Shop, id: str) -> list[int]:
    """The lengths of the histories of its runs, the first one first."""
    lengths, run = [], (await described(shop, id)).raw_description.workflow_execution_info.first_run_id
    while run:
        handle = shop.engine.temporal.get_workflow_handle(shop.engine.workflow(id).id, run_id=run)
        events = (await handle.fetch_history()).events
        lengths.append(len(events))
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return lengths


async def signals(shop: Shop, id: str) -> int:
    history = await shop.engine.workflow(id).fetch_history()
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED for event in history.events)


def bounded(lengths: Sequence[int]) -> bool:
    return len(lengths) > 1 and max(lengths) <= BOUND


async def woken_until_renewed(shop: Shop, id: str) -> None:
    """By quiet hours that are others each time, and hold it all the same."""
    first = (await described(shop, id)).run_id
    for minutes in range(61, 90):
        await choose(shop, around_now(minutes))
        await waits(shop, id)
        if (await described(shop, id)).run_id != first:
            return
    raise AssertionError("it is still the same run")


async def test_preferences_that_stay_as_they_are_wake_nobody(shop: Shop) -> None:
    id = await held_by_quiet_hours(shop)
    hours = around_now(61)
    for _ in range(15):
        await choose(shop, hours)
    await waits(shop, id)
    await choose(shop, None)
    await shop.ended(id, "DELIVERED")
    assert await signals(shop, id) == 2


@pytest.mark.usefixtures("short")
async def test_it_is_held_in_as_many_runs_as_it_takes_and_sent_once(shop: Shop) -> None:
    id = await held_by_quiet_hours(shop, priority=4)
    await woken_until_renewed(shop, id)
    seen = await described(shop, id)
    assert seen.typed_search_attributes[options.TYPE] == "news"
    priority = seen.raw_description.workflow_execution_info.priority
    assert (priority.priority_key, priority.fairness_key) == (4, str(shop.tenant))
    await woken_until_renewed(shop, id)
    await choose(shop, None)
    await shop.ended(id, "DELIVERED")
    assert bounded(await runs(shop, id))
    assert len(await shop.outbox()) == 1


@pytest.mark.usefixtures("short")
async def test_a_cancel_is_obeyed_by_a_later_run(shop: Shop) -> None:
    id = await held_by_quiet_hours(shop)
    await woken_until_renewed(shop, id)
    await shop.cancel(id)
    await shop.ended(id, "CANCELED")
    await eventually(lambda: described(shop, id), lambda seen: seen.close_time is not None)
    assert await shop.outbox() == []


@pytest.mark.usefixtures("short")
async def test_the_expiry_is_obeyed_by_a_later_run(shop: Shop) -> None:
    id = await held_by_quiet_hours(shop, expires_in="15s")
    await woken_until_renewed(shop, id)
    await shop.ended(id, "EXPIRED")
    assert await shop.outbox() == []


@pytest.mark.usefixtures("short")
async def test_retries_in_several_runs_have_one_patience_and_who_has_it_gets_it_once(shop: Shop) -> None:
    await shop.type("news", ["push", "email"], give_up_after="8s")
    await shop.person("ada", email="ada+error@example.com")
    await shop.device("ada", "phone", "token-good")
    await shop.device("ada", "tablet", "token-error-1")
    id = await shop.send("news")
    shown = await shop.finished(id, within=120)
    assert bounded(await runs(shop, id))
    assert len(await shop.outbox(recipient_id="ada")) == 1
    [email] = [delivery for delivery in shown["deliveries"] if delivery["channel"] == "email"]
    assert email["status"] == "FAILED"
    assert email["failure_reason"].startswith("gave_up: ")
    times = sorted(datetime.fromisoformat(attempt["started_at"]) for attempt in email["attempts"])
    began, ended = times[0], times[-1]
    assert ended - began < timedelta(seconds=8)


@pytest.mark.usefixtures("short")
async def test_what_is_paused_again_and_again_waits_in_several_runs(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("POST", "/channels/email/pause")
    id = await shop.send("news")
    resume = "UPDATE queue_entry SET state = 'due', next_at = now() WHERE notification_id = :id AND state = 'waiting'"
    for _ in range(6):
        await eventually(lambda: shop.engine.sql(resume, id=id), bool)
    await shop.ok("POST", "/channels/email/resume")
    shown = await shop.ended(id, "DELIVERED")
    assert bounded(await runs(shop, id))
    assert len(shown["deliveries"][0]["attempts"]) == len(await shop.outbox()) == 1
