"""Temporal silent, killed, or back with an empty store: sends are still accepted, and what was accepted still ends."""

from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

from dispatch.connection import connect
from dispatch.search_attributes import ATTRIBUTES
from dispatch.starter import Starter
from tests.faults.conftest import Stage
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

NOT_ACCEPTED = """
SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND state = 'not_accepted' AND number = 2
"""
RUNNING = "ExecutionStatus = 'Running' AND WorkflowType = 'NotificationWorkflow'"
OPEN_OF = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL"


async def temporal(stage: Stage) -> Client:
    return await connect(stage.run.info.temporal_address, "default", lazy=False)


async def store_of(stage: Stage) -> str | None:
    """The id of its namespace; None while nobody answers."""
    try:
        return await Starter(await temporal(stage)).store_id()
    except (RuntimeError, RPCError):
        return None


async def sent_once(stage: Stage, ids: list[str]) -> None:
    assert set((await stage.over(ids)).values()) == {"DELIVERED"}
    assert await stage.books.sent(ids) == len(ids)


async def test_while_temporal_is_silent_sends_are_accepted_quickly_and_afterwards_delivered_once(stage: Stage) -> None:
    with stage.run.frozen("temporal"):
        await eventually(stage.readiness, lambda seen: seen.get("degraded") == ["temporal"])
        ids, seconds = await stage.customer.timed([f"quiet-{number}" for number in range(40)])
        assert median(seconds) < 0.1
        assert await stage.books.sent(ids) == 0
    await sent_once(stage, ids)
    assert await stage.readiness() == {"status": "ok"}


async def test_an_api_that_starts_while_temporal_is_silent_accepts_and_the_sends_go_out_later(stage: Stage) -> None:
    with stage.run.frozen("temporal"):
        dead = await stage.run.kill("api")
        await stage.run.replaced("api", dead)
        await stage.customer.ready()
        ids = [await stage.customer.sent(f"deaf-{number}") for number in range(5)]
    await sent_once(stage, ids)


async def test_temporal_killed_under_load_is_back_and_everything_is_sent_once(stage: Stage) -> None:
    ids = await stage.customer.batch(100, "temporal-killed")
    await stage.in_the_middle(ids, 20)
    dead = await stage.run.kill("temporal")
    ids += [await stage.customer.sent(f"temporal-killed-late-{number}") for number in range(5)]
    await stage.run.replaced("temporal", dead)
    await sent_once(stage, ids)


async def test_with_temporals_store_gone_everything_open_still_ends_and_nothing_is_sent_twice(stage: Stage) -> None:
    customer, books = stage.customer, stage.books
    store = await store_of(stage)
    later = (datetime.now(UTC) + timedelta(seconds=8)).isoformat()
    waiting = [await customer.sent(f"store-later-{number}", send_at=later) for number in range(5)]
    retrying = [await customer.sent(f"store-flaky-{number}") for number in range(5)]
    await books.until(NOT_ACCEPTED, retrying, is_=5)
    ids = waiting + retrying + await customer.batch(40, "store-load")
    await stage.in_the_middle(ids, 5)
    for file in stage.run.root.glob("temporal.db*"):
        file.unlink()
    dead = await stage.run.kill("temporal")
    assert await books.one(OPEN_OF, waiting + retrying) == 10
    await stage.run.replaced("temporal", dead)
    await eventually(lambda: store_of(stage), lambda seen: seen not in (None, store))
    await sent_once(stage, ids)
    client = await temporal(stage)
    await eventually(lambda: client.count_workflows(RUNNING), lambda seen: seen.count == 0)
    attributes = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    assert set(ATTRIBUTES) <= set(attributes.custom_attributes)
