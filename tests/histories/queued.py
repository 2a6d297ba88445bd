"""What happened to calls in the queue of a provider, behind its rate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.client import WorkflowHistory

from domain.names import delivery_queue
from tests.engine import Shop
from tests.histories.stories import Story, delivered, retried_then_accepted
from tests.polling import eventually
from workflows import options


async def moved_to_the_own_queue(shop: Shop) -> str:
    """A rate is set between two attempts: the call is `elsewhere` on the queue that providers without a rate share."""
    id = await retried_then_accepted(shop)
    await eventually(lambda: shop.shown(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    async with rated(shop, 50):
        await shop.finished(id)
    return id


async def canceled_in_the_own_queue(shop: Shop) -> str:
    """Not taken in time behind calls that use up the rate; the guard knew of no reason to end it then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "QUEUE_PATIENCE", timedelta(seconds=1))
        async with rated(shop, 0.01):
            earlier = [await delivered(shop) for _ in range(3)]
            id = await shop.send("news")
            workflow = await shop.engine.started(id)
            await eventually(workflow.fetch_history, lambda history: times_queued(history) == 3)
            for each in (id, *earlier):
                await shop.cancel(each)
            await shop.finished(id)
    return id


@asynccontextmanager
async def rated(shop: Shop, rate: float) -> AsyncIterator[None]:
    """An operator's rate for the sandbox, calls per second."""
    insert = "INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', :rate, now())"
    await shop.engine.sql(insert, rate=rate)
    yield
    await shop.engine.sql("DELETE FROM provider_limit")


def times_queued(history: WorkflowHistory) -> int:
    """How often it has been in the queue of the sandbox."""
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return sum(each.task_queue.name == delivery_queue("sandbox") for each in scheduled)


QUEUED: dict[str, Story] = {story.__name__: story for story in (moved_to_the_own_queue, canceled_in_the_own_queue)}
