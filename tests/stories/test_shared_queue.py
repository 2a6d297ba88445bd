"""Calls of providers without a rate: on the workflow's own queue, without a poll; elsewhere where that cannot be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from bootstrap import Parts
from domain.names import NOTIFICATIONS_QUEUE, delivery_queue
from testing.stage import working
from tests.engine import Engine, Shop, open_shop
from tests.polling import eventually
from workflows import options

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

OWN_QUEUE = delivery_queue("sandbox")


def queues(history: WorkflowHistory) -> list[str]:
    """Those on which the workflow has scheduled its activities, in order."""
    return [
        event.activity_task_scheduled_event_attributes.task_queue.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]


def moments(history: WorkflowHistory) -> dict[str, float]:
    """When the last event of each kind was, in seconds."""
    return {EventType.Name(event.event_type): event.event_time.ToNanoseconds() / 1e9 for event in history.events}


def seconds_until_started(history: WorkflowHistory, task: str) -> float:
    """How long a task of this kind waited for a worker."""
    at = moments(history)
    return at[f"EVENT_TYPE_{task}_TASK_STARTED"] - at[f"EVENT_TYPE_{task}_TASK_SCHEDULED"]


async def test_a_call_without_a_rate_starts_when_it_is_scheduled(shop: Shop) -> None:
    """A task that a worker polls for waits at least for the answer to its poll. The fastest of five sends of each."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+silent@example.com")
    histories = [await shop.engine.history(await shop.send("news")) for _ in range(5)]
    assert {queue for history in histories for queue in queues(history)} == {NOTIFICATIONS_QUEUE}
    eager = min(seconds_until_started(history, "ACTIVITY") for history in histories)
    polled = min(seconds_until_started(history, "WORKFLOW") for history in histories)
    assert eager < 0.001
    assert eager < polled / 2


@asynccontextmanager
async def process(parts: Parts, *names: str) -> AsyncIterator[None]:
    """A worker of these queues."""
    async with working(parts, parts.temporal, names):
        yield


async def outcomes(shop: Shop, id: str) -> list[str]:
    """Of its attempts, in order."""
    shown = await shop.shown(id)
    return [attempt["outcome"] for delivery in shown["deliveries"] for attempt in delivery["attempts"]]


async def test_a_process_without_the_provider_leaves_the_call_to_one_that_has_it(deployed: Engine) -> None:
    without = replace(deployed.parts, providers={})
    async with open_shop(deployed) as shop:
        await shop.type("news", ["email"], give_up_after="1h")
        await shop.person("ada", email="ada+flaky@example.com")
        async with process(deployed.parts):
            id = await shop.send("news")
            await eventually(lambda: outcomes(shop, id), ["error"].__eq__)
        async with process(without, NOTIFICATIONS_QUEUE), process(deployed.parts, OWN_QUEUE):
            await shop.until(id, "SENT", "DELIVERED", within=30)
            history = await deployed.history(id)
        made = await outcomes(shop, id)
    assert queues(history)[:3] == [NOTIFICATIONS_QUEUE, NOTIFICATIONS_QUEUE, OWN_QUEUE]
    assert set(queues(history)[3:]) <= {OWN_QUEUE}
    assert made == [*["error"] * (len(made) - 1), "accepted"]


async def test_a_rate_that_is_set_while_it_waits_moves_the_call_to_the_own_queue(deployed: Engine) -> None:
    async with open_shop(deployed) as shop, process(deployed.parts):
        await shop.type("news", ["email"], give_up_after="1h")
        await shop.person("ada", email="ada+flaky@example.com")
        id = await shop.send("news")
        await eventually(lambda: outcomes(shop, id), ["error"].__eq__)
        await deployed.sql("INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', 50, now())")
        await shop.until(id, "SENT", "DELIVERED", within=30)
        history = await deployed.history(id)
        later = await shop.send("news")
        after = await deployed.history(later)
    assert queues(history)[:3] == [NOTIFICATIONS_QUEUE, NOTIFICATIONS_QUEUE, OWN_QUEUE]
    assert set(queues(after)) == {OWN_QUEUE}


async def waiting(engine: Engine, id: str) -> WorkflowHistory:
    """The history of a workflow, once its call has been asked for without an answer from the provider's own queue."""
    workflow = await engine.started(id)
    return await eventually(workflow.fetch_history, lambda history: OWN_QUEUE in queues(history))


@asynccontextmanager
async def left_alone(deployed: Engine, **send: str) -> AsyncIterator[tuple[Shop, str]]:
    """A send that waits in the queue of a provider that no process polls; it was planned when one had it."""
    async with open_shop(deployed) as shop:
        await shop.type("news", ["email"], give_up_after="1h")
        await shop.person("ada", email="ada+flaky@example.com")
        async with process(deployed.parts):
            id = await shop.send("news", **send)
            await eventually(lambda: outcomes(shop, id), ["error"].__eq__)
        async with process(replace(deployed.parts, providers={}), NOTIFICATIONS_QUEUE):
            await waiting(deployed, id)
            yield shop, id


async def test_a_call_that_no_process_can_make_is_canceled_at_once(deployed: Engine) -> None:
    async with left_alone(deployed) as (shop, id):
        await shop.cancel(id)
        shown = await shop.ended(id, "CANCELED")
    assert shown["deliveries"][0]["status"] == "CANCELED"


async def test_a_call_that_no_process_can_make_expires_in_time(deployed: Engine) -> None:
    async with left_alone(deployed, expires_in="15s") as (shop, id):
        await shop.ended(id, "EXPIRED")


async def test_a_cancel_does_not_abandon_a_call_that_has_begun(deployed: Engine) -> None:
    """Its own answer decides, not the guard's, which would call it lost."""
    await deployed.sql("INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', 50, now())")
    async with open_shop(deployed) as shop, process(deployed.parts):
        await shop.type("news", ["email"], delivery_guarantee="at_most_once")
        await shop.person("ada", email="ada+hang@example.com")
        id = await shop.send("news")
        await eventually(lambda: outcomes(shop, id), bool)
        await shop.cancel(id)
        shown = await shop.finished(id)
        history = await deployed.history(id)
    assert set(queues(history)) == {OWN_QUEUE}
    assert "EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED" in moments(history)
    assert shown["deliveries"][0]["failure_reason"] == "outcome_unknown: timeout"


async def test_a_provider_that_no_live_process_has_is_given_up_after_minutes(
    deployed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "QUEUE_PATIENCE", timedelta(seconds=1))
    async with left_alone(deployed) as (shop, id):
        # The API and the workers of this test share one row; its process has the provider.
        await eventually(partial(times_not_taken, deployed, id), lambda times: times >= 1)
        assert (await shop.shown(id))["status"] == "PENDING"
        await deployed.sql("UPDATE process SET providers = '{}', steady_since = now() - interval '5 minutes'")
        shown = await shop.ended(id, "FAILED")
    assert shown["deliveries"][0]["failure_reason"] == "provider_failed: not_configured"


@pytest.mark.long
async def test_a_look_up_that_no_process_takes_leaves_the_call_in_doubt(
    deployed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "QUEUE_PATIENCE", timedelta(seconds=1))
    async with open_shop(deployed) as shop:
        await shop.type("news", ["email"])
        await shop.person("ada", email="ada+lost@example.com")
        async with process(deployed.parts):
            id = await shop.send("news")
            await eventually(lambda: outcomes(shop, id), ["unknown"].__eq__)
        async with process(replace(deployed.parts, providers={}), NOTIFICATIONS_QUEUE):
            await shop.ended(id, "IN_DOUBT")
            history = await deployed.history(id)
    assert OWN_QUEUE in queues(history)
    assert queues(history)[-1] == NOTIFICATIONS_QUEUE


async def times_not_taken(engine: Engine, id: str) -> int:
    """How often no worker has taken a call of this notification in time."""
    history = await engine.workflow(id).fetch_history()
    return sum(event.HasField("activity_task_timed_out_event_attributes") for event in history.events)
