"""Check calls of providers without a rate: they run on the workflow's queue, without a poll, where possible."""

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
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine
from tests.polling import eventually
from workflows import options

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PROVIDER_QUEUE = delivery_queue("sandbox")


def list_queues(history: WorkflowHistory) -> list[str]:
    """Return the queues of the workflow's activities, in order."""
    return [
        event.activity_task_scheduled_event_attributes.task_queue.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]


def read_event_times(history: WorkflowHistory) -> dict[str, float]:
    """Return the time of the last event of each type, in seconds."""
    return {EventType.Name(event.event_type): event.event_time.ToNanoseconds() / 1e9 for event in history.events}


def measure_task_wait(history: WorkflowHistory, task: str) -> float:
    """Return the time that the last task of a type waited for a worker."""
    times = read_event_times(history)
    return times[f"EVENT_TYPE_{task}_TASK_STARTED"] - times[f"EVENT_TYPE_{task}_TASK_SCHEDULED"]


async def test_a_call_without_a_rate_starts_when_it_is_scheduled(api_tenant: ApiTenant) -> None:
    """Compare with polled tasks, which wait at least for the response to a poll. Take the fastest of five sends."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    histories = [await api_tenant.engine.history(await api_tenant.send("news")) for _ in range(5)]
    assert {queue for history in histories for queue in list_queues(history)} == {NOTIFICATIONS_QUEUE}
    eager = min(measure_task_wait(history, "ACTIVITY") for history in histories)
    polled = min(measure_task_wait(history, "WORKFLOW") for history in histories)
    assert eager < 0.001
    assert eager < polled / 2


@asynccontextmanager
async def run_worker(container: Container, *names: str) -> AsyncIterator[None]:
    """Run a worker of these queues."""
    async with running_worker(container, container.temporal, names):
        yield


async def list_outcomes(api_tenant: ApiTenant, id: str) -> list[str]:
    """Return the outcomes of the notification's attempts, in order."""
    notification = await api_tenant.notification(id)
    return [attempt["outcome"] for delivery in notification["deliveries"] for attempt in delivery["attempts"]]


async def test_a_process_without_the_provider_hands_the_call_to_another_process(engine_without_worker: Engine) -> None:
    container_without_provider = replace(engine_without_worker.container, providers={})
    async with open_api_tenant(engine_without_worker) as api_tenant:
        await api_tenant.put_type("news", ["email"], give_up_after="1h")
        await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
        async with run_worker(engine_without_worker.container):
            id = await api_tenant.send("news")
            await eventually(lambda: list_outcomes(api_tenant, id), ["error"].__eq__)
        async with (
            run_worker(container_without_provider, NOTIFICATIONS_QUEUE),
            run_worker(engine_without_worker.container, PROVIDER_QUEUE),
        ):
            await api_tenant.wait_for_status(id, "SENT", "DELIVERED", within=30)
            history = await engine_without_worker.history(id)
        outcomes = await list_outcomes(api_tenant, id)
    assert list_queues(history)[:3] == [NOTIFICATIONS_QUEUE, NOTIFICATIONS_QUEUE, PROVIDER_QUEUE]
    assert set(list_queues(history)[3:]) <= {PROVIDER_QUEUE}
    assert outcomes == [*["error"] * (len(outcomes) - 1), "accepted"]


async def test_a_rate_set_during_a_wait_moves_the_call_to_the_provider(engine_without_worker: Engine) -> None:
    async with open_api_tenant(engine_without_worker) as api_tenant, run_worker(engine_without_worker.container):
        await api_tenant.put_type("news", ["email"], give_up_after="1h")
        await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
        id = await api_tenant.send("news")
        await eventually(lambda: list_outcomes(api_tenant, id), ["error"].__eq__)
        await engine_without_worker.sql(
            "INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', 50, now())"
        )
        await api_tenant.wait_for_status(id, "SENT", "DELIVERED", within=30)
        history = await engine_without_worker.history(id)
        next_id = await api_tenant.send("news")
        next_history = await engine_without_worker.history(next_id)
    assert list_queues(history)[:3] == [NOTIFICATIONS_QUEUE, NOTIFICATIONS_QUEUE, PROVIDER_QUEUE]
    assert set(list_queues(next_history)) == {PROVIDER_QUEUE}


async def wait_for_provider_queue(engine: Engine, id: str) -> WorkflowHistory:
    """Wait until the workflow has scheduled its call on the provider's queue, and return the history."""
    workflow = await engine.wait_for_start(id)
    return await eventually(workflow.fetch_history, lambda history: PROVIDER_QUEUE in list_queues(history))


@asynccontextmanager
async def send_to_unpolled_queue(engine_without_worker: Engine, **fields: str) -> AsyncIterator[tuple[ApiTenant, str]]:
    """Start a send that waits in a provider queue without a poller. It was planned when a process had the provider."""
    async with open_api_tenant(engine_without_worker) as api_tenant:
        await api_tenant.put_type("news", ["email"], give_up_after="1h")
        await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
        async with run_worker(engine_without_worker.container):
            id = await api_tenant.send("news", **fields)
            await eventually(lambda: list_outcomes(api_tenant, id), ["error"].__eq__)
        async with run_worker(replace(engine_without_worker.container, providers={}), NOTIFICATIONS_QUEUE):
            await wait_for_provider_queue(engine_without_worker, id)
            yield api_tenant, id


async def test_a_call_without_a_process_is_canceled_immediately(engine_without_worker: Engine) -> None:
    async with send_to_unpolled_queue(engine_without_worker) as (api_tenant, id):
        await api_tenant.cancel(id)
        notification = await api_tenant.wait_for_end(id, "CANCELED")
    assert notification["deliveries"][0]["status"] == "CANCELED"


async def test_a_call_without_a_process_expires_on_time(engine_without_worker: Engine) -> None:
    async with send_to_unpolled_queue(engine_without_worker, expires_in="15s") as (api_tenant, id):
        await api_tenant.wait_for_end(id, "EXPIRED")


async def test_a_cancel_does_not_abandon_a_call_that_has_begun(engine_without_worker: Engine) -> None:
    """Take the outcome of the call. The guard would report an unknown outcome."""
    await engine_without_worker.sql(
        "INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', 50, now())"
    )
    async with open_api_tenant(engine_without_worker) as api_tenant, run_worker(engine_without_worker.container):
        await api_tenant.put_type("news", ["email"], delivery_guarantee="at_most_once")
        await api_tenant.put_recipient("ada", email="ada+hang@example.com")
        id = await api_tenant.send("news")
        await eventually(lambda: list_outcomes(api_tenant, id), bool)
        await api_tenant.cancel(id)
        notification = await api_tenant.wait_until_finished(id)
        history = await engine_without_worker.history(id)
    assert set(list_queues(history)) == {PROVIDER_QUEUE}
    assert "EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED" in read_event_times(history)
    assert notification["deliveries"][0]["failure_reason"] == "outcome_unknown: timeout"


async def test_a_provider_without_a_live_process_fails_the_delivery(
    engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(seconds=1))
    async with send_to_unpolled_queue(engine_without_worker) as (api_tenant, id):
        # The API and the workers of this test share one row, whose process has the provider.
        await eventually(partial(count_queue_timeouts, engine_without_worker, id), lambda count: count >= 1)
        assert (await api_tenant.notification(id))["status"] == "PENDING"
        await engine_without_worker.sql(
            "UPDATE process SET providers = '{}', steady_since = now() - interval '5 minutes'"
        )
        notification = await api_tenant.wait_for_end(id, "FAILED")
    assert notification["deliveries"][0]["failure_reason"] == "provider_failed: not_configured"


@pytest.mark.long
async def test_a_lookup_without_a_process_leaves_the_call_in_doubt(
    engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(seconds=1))
    async with open_api_tenant(engine_without_worker) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        await api_tenant.put_recipient("ada", email="ada+lost@example.com")
        async with run_worker(engine_without_worker.container):
            id = await api_tenant.send("news")
            await eventually(lambda: list_outcomes(api_tenant, id), ["unknown"].__eq__)
        async with run_worker(replace(engine_without_worker.container, providers={}), NOTIFICATIONS_QUEUE):
            await api_tenant.wait_for_end(id, "IN_DOUBT")
            history = await engine_without_worker.history(id)
    assert PROVIDER_QUEUE in list_queues(history)
    assert list_queues(history)[-1] == NOTIFICATIONS_QUEUE


async def count_queue_timeouts(engine: Engine, id: str) -> int:
    """Return how often a call of this notification has timed out in its queue."""
    history = await engine.workflow(id).fetch_history()
    return sum(event.HasField("activity_task_timed_out_event_attributes") for event in history.events)
