"""Calls of providers without a rate: on the workflow's own queue, without a poll; elsewhere where that cannot be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from bootstrap import Parts
from domain.names import NOTIFICATIONS_QUEUE, delivery_queue
from testing.stage import working
from tests.engine import Engine, Shop, open_shop
from tests.polling import eventually

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
