"""Test which calls `deliver` on the shared queue of providers without a rate leaves to the provider's own queue."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.delivery import MAX_SHARED_QUEUE_CALLS
from domain.evidence import CallResult
from domain.messages import NoCallResult
from domain.names import NOTIFICATIONS_QUEUE
from domain.statuses import DeliveryStatus
from storage import provider_health
from tests.activities.conftest import ActivityWorker
from tests.polling import eventually
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres


async def set_rate(sent: DatabaseSend, rate: float | None) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await provider_health.update_limits(session, "sandbox", {"rate": rate})


@pytest.fixture
async def limited(sent: DatabaseSend) -> AsyncIterator[DatabaseSend]:
    """Set a rate after the plan was made."""
    await set_rate(sent, 5)
    yield sent
    await set_rate(sent, None)


async def untouched(sent: DatabaseSend) -> bool:
    [delivery] = await sent.rows("delivery")
    return delivery["status"] == "PENDING" and await sent.rows("attempt") == []


async def test_a_provider_without_a_rate_is_called_on_the_shared_queue(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    outcome = await activity_worker.deliver(sent.call(), queue=NOTIFICATIONS_QUEUE)
    assert outcome.result is CallResult.ACCEPTED
    assert len(await sent.rows("attempt")) == 1


async def test_a_process_without_the_provider_returns_the_call_and_writes_nothing(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    outcome = await activity_worker.deliver(sent.call(provider="smtp"), queue=NOTIFICATIONS_QUEUE)
    assert outcome.result is NoCallResult.NEEDS_PROVIDER_QUEUE
    assert await untouched(sent)


@pytest.fixture
async def other_worker(sent: DatabaseSend) -> AsyncIterator[None]:
    """Register a process with a provider that this one lacks."""
    await sent.database_tenant.query(
        "INSERT INTO process (id, kind, host, pid, providers, started_at, seen_at, steady_since)"
        " VALUES (gen_random_uuid(), 'worker', 'other', 1, '{smtp}', now(), now(), now() - interval '5 minutes')"
    )
    yield
    await sent.database_tenant.query("DELETE FROM process")


@pytest.mark.usefixtures("other_worker")
@pytest.mark.parametrize("is_unserved", [False, True])
async def test_a_provider_of_another_live_process_is_left_to_that_one(
    activity_worker: ActivityWorker, sent: DatabaseSend, is_unserved: bool
) -> None:
    outcome = await activity_worker.deliver(
        sent.call(provider="smtp", is_unserved=is_unserved), queue=NOTIFICATIONS_QUEUE
    )
    assert outcome.result is NoCallResult.NEEDS_PROVIDER_QUEUE
    assert await untouched(sent)


@pytest.mark.usefixtures("other_worker")
async def test_a_provider_that_no_live_process_has_is_not_configured_after_minutes(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    first = await activity_worker.deliver(sent.call(provider="fax"), queue=NOTIFICATIONS_QUEUE)
    outcome = await activity_worker.deliver(sent.call(provider="fax", is_unserved=True), queue=NOTIFICATIONS_QUEUE)
    assert first.result is NoCallResult.NEEDS_PROVIDER_QUEUE
    assert (outcome.result, outcome.reason) == (CallResult.PERMANENT, "not_configured")
    assert await untouched(sent)


async def test_the_guard_stops_a_call_without_the_provider(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    outcome = await activity_worker.deliver(sent.call(provider="smtp"), queue=NOTIFICATIONS_QUEUE)
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, DeliveryStatus.CANCELED)


async def test_a_rate_set_after_the_plan_moves_the_call(activity_worker: ActivityWorker, limited: DatabaseSend) -> None:
    outcome = await activity_worker.deliver(limited.call(), queue=NOTIFICATIONS_QUEUE)
    assert outcome.result is NoCallResult.NEEDS_PROVIDER_QUEUE
    assert activity_worker.sandbox.calls == []
    assert await untouched(limited)
    assert (await activity_worker.deliver(limited.call())).result is CallResult.ACCEPTED


async def test_a_call_that_was_made_before_the_rate_returns_its_outcome(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await activity_worker.deliver(sent.call(), queue=NOTIFICATIONS_QUEUE)
    await set_rate(sent, 5)
    again = await activity_worker.deliver(sent.call(), queue=NOTIFICATIONS_QUEUE)
    await set_rate(sent, None)
    assert again.result is CallResult.ACCEPTED
    assert len(activity_worker.sandbox.calls) == 1


async def test_a_hanging_provider_leaves_half_of_the_shared_queue(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    released = asyncio.Event()
    activity_worker.sandbox.after_send = released.wait
    hanging = [await database_tenant.send() for _ in range(MAX_SHARED_QUEUE_CALLS)]
    calls = [asyncio.create_task(activity_worker.deliver(each.call(), queue=NOTIFICATIONS_QUEUE)) for each in hanging]

    async def under_way() -> int:
        return len(activity_worker.sandbox.calls)

    await eventually(under_way, MAX_SHARED_QUEUE_CALLS.__eq__)
    one_more = await database_tenant.send()
    outcome = await activity_worker.deliver(one_more.call(), queue=NOTIFICATIONS_QUEUE)
    released.set()
    assert {(await call).result for call in calls} == {CallResult.ACCEPTED}
    assert outcome.result is NoCallResult.NEEDS_PROVIDER_QUEUE
    assert await untouched(one_more)
    assert (await activity_worker.deliver(one_more.call(), queue=NOTIFICATIONS_QUEUE)).result is CallResult.ACCEPTED
