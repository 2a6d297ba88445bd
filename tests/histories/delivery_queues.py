"""Record calls in the queue of a provider with a rate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.client import WorkflowHistory

from domain.names import delivery_queue
from tests.api_tenants import ApiTenant
from tests.histories.stories import HistoryStory, delivered, retried_then_accepted
from tests.polling import eventually
from workflows import options


async def moved_to_the_provider_queue(api_tenant: ApiTenant) -> str:
    """Set a rate between two attempts: the call returns `needs_provider_queue` on the queue that providers without a
    rate share."""
    id = await retried_then_accepted(api_tenant)
    await eventually(lambda: api_tenant.notification(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    async with rated(api_tenant, 50):
        await api_tenant.wait_until_finished(id)
    return id


async def canceled_in_the_provider_queue(api_tenant: ApiTenant) -> str:
    """No worker takes the call in time because earlier calls use up the rate, and the guard has no reason to end it
    then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "QUEUE_TIMEOUT", timedelta(seconds=1))
        async with rated(api_tenant, 0.01):
            earlier = [await delivered(api_tenant) for _ in range(3)]
            id = await api_tenant.send("news")
            workflow = await api_tenant.engine.wait_for_start(id)
            await eventually(workflow.fetch_history, lambda history: times_queued(history) == 3)
            for each in (id, *earlier):
                await api_tenant.cancel(each)
            await api_tenant.wait_until_finished(id)
    return id


@asynccontextmanager
async def rated(api_tenant: ApiTenant, rate: float) -> AsyncIterator[None]:
    """Set an operator's rate for the sandbox, calls per second."""
    insert = "INSERT INTO provider_limit (provider, rate, updated_at) VALUES ('sandbox', :rate, now())"
    await api_tenant.engine.sql(insert, rate=rate)
    yield
    await api_tenant.engine.sql("DELETE FROM provider_limit")


def times_queued(history: WorkflowHistory) -> int:
    """Return how often it was in the queue of the sandbox."""
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return sum(each.task_queue.name == delivery_queue("sandbox") for each in scheduled)


QUEUED: dict[str, HistoryStory] = {
    story.__name__: story for story in (moved_to_the_provider_queue, canceled_in_the_provider_queue)
}
