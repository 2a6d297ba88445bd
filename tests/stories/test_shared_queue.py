"""Calls of providers without a rate: on the workflow's own queue, without a poll; elsewhere where that cannot be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from bootstrap import Container
from domain.names import NOTIFICATIONS_QUEUE, delivery_queue
from testing.installation import running_worker
from tests.engine import ApiTenant, Engine, open_api_tenant
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


async def test_a_call_without_a_rate_starts_when_it_is_scheduled(api_tenant: ApiTenant) -> None:
    """A task that a worker polls for waits at least for the answer to its poll. The fastest of five sends of each."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    histories = [await api_tenant.engine.history(await api_tenant.send("news")) for _ in range(5)]
    assert {queue for history in histories for queue in queues(history)} == {NOTIFICATIONS_QUEUE}
    eager = min(seconds_until_started(history, "ACTIVITY") for history in histories)
    polled = min(seconds_until_started(history, "WORKFLOW") for history in histories)
    assert eager < 0.001
    assert eager < polled / 2


@asynccontextmanager
async def process(container: Container, *names: str) -> AsyncIterator[None]:
    """A worker of these queues."""
    async with running_worker(container, container.temporal, names):
        yield


async def outcomes(api_tenant: ApiTenant, id: str) -> list[str]:
    """Of its attempts, in order."""
    shown = await api_tenant.notification(id)
    return [attempt["outcome"] for delivery in shown["deliveries"] for attempt in delivery["attempts"]]


async def test_a_process_without_the_provider_hands_the_call_to_another_process(engine_without_worker: Engine) -> None:
    without = replace(engine_without_worker.container, providers={})
    async with open_api_tenant(engine_without_worker) as api_tenant:
        await api_tenant.put_type("news", ["email"], give_up_after="1h")
        await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
        async with process(engine_without_worker.container):
            id = await api_tenant.send("news")
            await eventually(lambda: outcomes(api_tenant, id), ["error"].__eq__)
        async with process(without, NOTIFICATIONS_QUEUE), process(engine_without_worker.container, OWN_QUEUE):
            await api_tenant.wait_for_status(id, "SENT", "DELIVERED", within=30)
            history = await engine_without_worker.history(id)
        made = await outcomes(api_tenant, id)
    assert queues(history)[:3] == [NOTIFICATIONS_QUEUE, NOTIFICATIONS_QUEUE, OWN_QUEUE]
    assert set(queues(history)[3:]) <= {OWN_QUEUE}
    assert made == [*["error"] * (len(made) - 1), "accepted"]


async def test_a_rate_set_during_a_wait_moves_the_call_to_the_provider(engine_without_worker: Engine) -> None:
    async with open_api_tenant(engine_without_worker) as api_tenant, process(engine_without_worker.container):
        await api_tenant.put_type("news", ["email"], give_up_after="1h")
        await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
        id = await api_tenant.send("news")
        await eventually(lambda: outcomes(api_tenant, id), ["error"].__eq__)
        await engine_without_worker.sql(
            "INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', 50, now())"
        )
        await api_tenant.wait_for_status(id, "SENT", "DELIVERED", within=30)
        history = await engine_without_worker.history(id)
        later = await api_tenant.send("news")
        after = await engine_without_worker.history(later)
    assert queues(history)[:3] == [NOTIFICATIONS_QUEUE, NOTIFICATIONS_QUEUE, OWN_QUEUE]
    assert set(queues(after)) == {OWN_QUEUE}


async def waiting(engine: Engine, id: str) -> WorkflowHistory:
    """The history of a workflow, once its call has been asked for without an answer from the provider's own queue."""
    workflow = await engine.wait_for_start(id)
    return await eventually(workflow.fetch_history, lambda history: OWN_QUEUE in queues(history))


@asynccontextmanager
async def left_alone(engine_without_worker: Engine, **send: str) -> AsyncIterator[tuple[ApiTenant, str]]:
    """A send that waits in the queue of a provider that no process polls; it was planned when one had it."""
    async with open_api_tenant(engine_without_worker) as api_tenant:
        await api_tenant.put_type("news", ["email"], give_up_after="1h")
        await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
        async with process(engine_without_worker.container):
            id = await api_tenant.send("news", **send)
            await eventually(lambda: outcomes(api_tenant, id), ["error"].__eq__)
        async with process(replace(engine_without_worker.container, providers={}), NOTIFICATIONS_QUEUE):
            await waiting(engine_without_worker, id)
            yield api_tenant, id


async def test_a_call_that_no_process_can_make_is_canceled_at_once(engine_without_worker: Engine) -> None:
    async with left_alone(engine_without_worker) as (api_tenant, id):
        await api_tenant.cancel(id)
        shown = await api_tenant.wait_for_end(id, "CANCELED")
    assert shown["deliveries"][0]["status"] == "CANCELED"


async def test_a_call_that_no_process_can_make_expires_in_time(engine_without_worker: Engine) -> None:
    async with left_alone(engine_without_worker, expires_in="15s") as (api_tenant, id):
        await api_tenant.wait_for_end(id, "EXPIRED")


async def test_a_cancel_does_not_abandon_a_call_that_has_begun(engine_without_worker: Engine) -> None:
    """Its own answer decides, not the guard's, which would call it lost."""
    await engine_without_worker.sql(
        "INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', 50, now())"
    )
    async with open_api_tenant(engine_without_worker) as api_tenant, process(engine_without_worker.container):
        await api_tenant.put_type("news", ["email"], delivery_guarantee="at_most_once")
        await api_tenant.put_recipient("ada", email="ada+hang@example.com")
        id = await api_tenant.send("news")
        await eventually(lambda: outcomes(api_tenant, id), bool)
        await api_tenant.cancel(id)
        shown = await api_tenant.wait_until_finished(id)
        history = await engine_without_worker.history(id)
    assert set(queues(history)) == {OWN_QUEUE}
    assert "EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED" in moments(history)
    assert shown["deliveries"][0]["failure_reason"] == "outcome_unknown: timeout"


async def test_a_provider_that_no_live_process_has_is_given_up_after_minutes(
    engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(seconds=1))
    async with left_alone(engine_without_worker) as (api_tenant, id):
        # The API and the workers of this test share one row; its process has the provider.
        await eventually(partial(times_not_taken, engine_without_worker, id), lambda times: times >= 1)
        assert (await api_tenant.notification(id))["status"] == "PENDING"
        await engine_without_worker.sql(
            "UPDATE process SET providers = '{}', steady_since = now() - interval '5 minutes'"
        )
        shown = await api_tenant.wait_for_end(id, "FAILED")
    assert shown["deliveries"][0]["failure_reason"] == "provider_failed: not_configured"


@pytest.mark.long
async def test_a_look_up_that_no_process_takes_leaves_the_call_in_doubt(
    engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(seconds=1))
    async with open_api_tenant(engine_without_worker) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        await api_tenant.put_recipient("ada", email="ada+lost@example.com")
        async with process(engine_without_worker.container):
            id = await api_tenant.send("news")
            await eventually(lambda: outcomes(api_tenant, id), ["unknown"].__eq__)
        async with process(replace(engine_without_worker.container, providers={}), NOTIFICATIONS_QUEUE):
            await api_tenant.wait_for_end(id, "IN_DOUBT")
            history = await engine_without_worker.history(id)
    assert OWN_QUEUE in queues(history)
    assert queues(history)[-1] == NOTIFICATIONS_QUEUE


async def times_not_taken(engine: Engine, id: str) -> int:
    """How often no worker has taken a call of this notification in time."""
    history = await engine.workflow(id).fetch_history()
    return sum(event.HasField("activity_task_timed_out_event_attributes") for event in history.events)
