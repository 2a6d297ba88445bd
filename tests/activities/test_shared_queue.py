"""`deliver` on the queue that providers without a rate share: which calls it leaves to the provider's own queue."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.delivery import SHARED_CALLS
from domain.messages import Result
from domain.names import NOTIFICATIONS_QUEUE
from domain.statuses import DeliveryStatus
from storage import provider_limits
from tests.activities.conftest import Counter
from tests.polling import eventually
from tests.storage.sends import Desk, Sent

pytestmark = pytest.mark.postgres


async def set_rate(sent: Sent, rate: float | None) -> None:
    async with sent.desk.database.transaction() as session:
        await provider_limits.change(session, "sandbox", {"rate": rate})


@pytest.fixture
async def limited(sent: Sent) -> AsyncIterator[Sent]:
    """An operator has set a rate since the plan was made."""
    await set_rate(sent, 5)
    yield sent
    await set_rate(sent, None)


async def untouched(sent: Sent) -> bool:
    [delivery] = await sent.rows("delivery")
    return delivery["status"] == "PENDING" and await sent.rows("attempt") == []


async def test_a_provider_without_a_rate_is_called_on_the_shared_queue(counter: Counter, sent: Sent) -> None:
    told = await counter.deliver(sent.call(), queue=NOTIFICATIONS_QUEUE)
    assert told.result is Result.ACCEPTED
    assert len(await sent.rows("attempt")) == 1


async def test_a_process_without_the_provider_returns_elsewhere_and_writes_nothing(
    counter: Counter, sent: Sent
) -> None:
    told = await counter.deliver(sent.call(provider="smtp"), queue=NOTIFICATIONS_QUEUE)
    assert told.result is Result.ELSEWHERE
    assert await untouched(sent)


@pytest.fixture
async def other_worker(sent: Sent) -> AsyncIterator[None]:
    """A process that has reported for a while, with a provider that this one lacks."""
    await sent.desk.query(
        "INSERT INTO process (id, kind, host, pid, providers, started_at, seen_at, steady_since)"
        " VALUES (gen_random_uuid(), 'worker', 'other', 1, '{smtp}', now(), now(), now() - interval '5 minutes')"
    )
    yield
    await sent.desk.query("DELETE FROM process")


@pytest.mark.usefixtures("other_worker")
@pytest.mark.parametrize("unserved", [False, True])
async def test_a_provider_of_another_live_process_is_left_to_that_one(
    counter: Counter, sent: Sent, unserved: bool
) -> None:
    told = await counter.deliver(sent.call(provider="smtp", unserved=unserved), queue=NOTIFICATIONS_QUEUE)
    assert told.result is Result.ELSEWHERE
    assert await untouched(sent)


@pytest.mark.usefixtures("other_worker")
async def test_a_provider_that_no_live_process_has_is_not_configured_after_minutes(
    counter: Counter, sent: Sent
) -> None:
    first = await counter.deliver(sent.call(provider="fax"), queue=NOTIFICATIONS_QUEUE)
    told = await counter.deliver(sent.call(provider="fax", unserved=True), queue=NOTIFICATIONS_QUEUE)
    assert first.result is Result.ELSEWHERE
    assert (told.result, told.reason) == (Result.PERMANENT, "not_configured")
    assert await untouched(sent)


async def test_the_guard_stops_a_call_whose_provider_this_process_lacks(counter: Counter, sent: Sent) -> None:
    await sent.desk.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    told = await counter.deliver(sent.call(provider="smtp"), queue=NOTIFICATIONS_QUEUE)
    assert (told.result, told.stopped_as) == (Result.STOPPED, DeliveryStatus.CANCELED)


async def test_a_rate_that_is_set_after_the_plan_sends_the_call_elsewhere(counter: Counter, limited: Sent) -> None:
    told = await counter.deliver(limited.call(), queue=NOTIFICATIONS_QUEUE)
    assert told.result is Result.ELSEWHERE
    assert counter.sandbox.calls == []
    assert await untouched(limited)
    assert (await counter.deliver(limited.call())).result is Result.ACCEPTED


async def test_a_call_that_was_made_before_the_rate_returns_its_outcome(counter: Counter, sent: Sent) -> None:
    await counter.deliver(sent.call(), queue=NOTIFICATIONS_QUEUE)
    await set_rate(sent, 5)
    again = await counter.deliver(sent.call(), queue=NOTIFICATIONS_QUEUE)
    await set_rate(sent, None)
    assert again.result is Result.ACCEPTED
    assert len(counter.sandbox.calls) == 1


async def test_a_provider_that_hangs_leaves_half_of_the_shared_queue_to_the_others(
    counter: Counter, desk: Desk
) -> None:
    released = asyncio.Event()
    counter.sandbox.afterwards = released.wait
    hanging = [await desk.send() for _ in range(SHARED_CALLS)]
    calls = [asyncio.create_task(counter.deliver(each.call(), queue=NOTIFICATIONS_QUEUE)) for each in hanging]

    async def under_way() -> int:
        return len(counter.sandbox.calls)

    await eventually(under_way, SHARED_CALLS.__eq__)
    one_more = await desk.send()
    told = await counter.deliver(one_more.call(), queue=NOTIFICATIONS_QUEUE)
    released.set()
    assert {(await call).result for call in calls} == {Result.ACCEPTED}
    assert told.result is Result.ELSEWHERE
    assert await untouched(one_more)
    assert (await counter.deliver(one_more.call(), queue=NOTIFICATIONS_QUEUE)).result is Result.ACCEPTED
