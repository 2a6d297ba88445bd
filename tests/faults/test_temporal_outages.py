"""Freeze, kill or reset Temporal: sends are accepted, and accepted notifications end."""

from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

from dispatch.temporal.connection import connect
from dispatch.temporal.search_attributes import SEARCH_ATTRIBUTES
from dispatch.workflow_starter import WorkflowStarter
from tests.faults.conftest import RunningStack
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

NOT_ACCEPTED = """
SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND state = 'not_accepted' AND number = 2
"""
RUNNING = "ExecutionStatus = 'Running' AND WorkflowType = 'NotificationWorkflow'"
OPEN_OF = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL"


async def temporal(stack: RunningStack) -> Client:
    return await connect(stack.run.info.temporal_address, "default", lazy=False)


async def store_of(stack: RunningStack) -> str | None:
    """Return the id of its namespace; None while the server does not respond."""
    try:
        return await WorkflowStarter(await temporal(stack)).store_id()
    except (RuntimeError, RPCError):
        return None


async def sent_once(stack: RunningStack, ids: list[str]) -> None:
    assert set((await stack.wait_for_end(ids)).values()) == {"DELIVERED"}
    assert await stack.stack_database.count_sent(ids) == len(ids)


async def test_sends_during_a_temporal_outage_are_accepted_and_delivered_once_afterwards(
    stack: RunningStack,
) -> None:
    with stack.run.frozen("temporal"):
        await eventually(stack.readiness, lambda seen: seen.get("degraded") == ["temporal"])
        ids, seconds = await stack.stack_client.timed([f"quiet-{number}" for number in range(40)])
        assert median(seconds) < 0.1
        assert await stack.stack_database.count_sent(ids) == 0
    await sent_once(stack, ids)
    assert await stack.readiness() == {"status": "ok"}


async def test_an_api_started_during_a_temporal_outage_accepts_sends(stack: RunningStack) -> None:
    with stack.run.frozen("temporal"):
        dead = await stack.run.kill("api")
        await stack.run.replaced("api", dead)
        await stack.stack_client.wait_until_ready()
        ids = [await stack.stack_client.send_accepted(f"deaf-{number}") for number in range(5)]
    await sent_once(stack, ids)


async def test_temporal_killed_under_load_is_back_and_everything_is_sent_once(stack: RunningStack) -> None:
    ids = await stack.stack_client.batch(100, "temporal-killed")
    await stack.wait_for_partial_send(ids, 20)
    dead = await stack.run.kill("temporal")
    ids += [await stack.stack_client.send_accepted(f"temporal-killed-late-{number}") for number in range(5)]
    await stack.run.replaced("temporal", dead)
    await sent_once(stack, ids)


async def test_open_notifications_end_once_after_temporal_lost_its_store(stack: RunningStack) -> None:
    stack_client, stack_database = stack.stack_client, stack.stack_database
    store = await store_of(stack)
    later = (datetime.now(UTC) + timedelta(seconds=8)).isoformat()
    waiting = [await stack_client.send_accepted(f"store-later-{number}", send_at=later) for number in range(5)]
    retrying = [await stack_client.send_accepted(f"store-flaky-{number}") for number in range(5)]
    await stack_database.until(NOT_ACCEPTED, retrying, is_=5)
    ids = waiting + retrying + await stack_client.batch(40, "store-load")
    await stack.wait_for_partial_send(ids, 5)
    for file in stack.run.root.glob("temporal.db*"):
        file.unlink()
    dead = await stack.run.kill("temporal")
    assert await stack_database.one(OPEN_OF, waiting + retrying) == 10
    await stack.run.replaced("temporal", dead)
    await eventually(lambda: store_of(stack), lambda seen: seen not in (None, store))
    await sent_once(stack, ids)
    client = await temporal(stack)
    await eventually(lambda: client.count_workflows(RUNNING), lambda seen: seen.count == 0)
    attributes = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    assert set(SEARCH_ATTRIBUTES) <= set(attributes.custom_attributes)
