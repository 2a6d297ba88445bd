"""Test which posts are claimed: slots per tenant and endpoint, and a lease per message."""

import asyncio
from uuid import UUID

import pytest

from dispatch.event_poster import EventPoster
from providers.transport import Transport, outgoing_client
from storage import event_outbox
from storage.database import Database
from storage.event_outbox import ConcurrencyLimits
from testing.vendors.http import Reply
from tests.dispatch.webhook_tenants import WebhookTenant, open_webhook_tenant
from tests.polling import eventually
from tests.receivers import EventReceiver, open_event_receiver

pytestmark = pytest.mark.postgres


async def test_a_slow_endpoint_does_not_hold_up_another(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    await webhook_tenant.endpoint("slow", receiver.url)
    receiver.is_holding = True
    async with open_event_receiver() as quick:
        await webhook_tenant.endpoint("quick", quick.url)
        for _ in range(20):
            await webhook_tenant.event()
        running = asyncio.create_task(webhook_tenant.posts.run())
        try:
            await quick.wait_for_requests(20)
            assert len(receiver.requests) == ConcurrencyLimits().max_per_endpoint
            receiver.release()
            await receiver.wait_for_requests(20)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_an_endpoint_that_fails_has_one_place_until_something_gets_through(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.move("shop", "failing_since", "1 hour")
    receiver.is_holding = True
    for _ in range(3):
        await webhook_tenant.event()
    await webhook_tenant.start()
    await receiver.wait_for_requests(1)
    await webhook_tenant.start()
    assert len(receiver.requests) == 1
    receiver.release()
    await webhook_tenant.posts.drain()
    await webhook_tenant.post()
    assert len(receiver.requests) == 3


async def under_way(database: Database, room: ConcurrencyLimits, *tenants: tuple[int, bool]) -> list[list[UUID]]:
    """Return how many posts of each tenant one claim takes. Each tenant has that many endpoints, failing or not,
    with one message each."""
    owners = []
    for endpoints, failing in tenants:
        async with open_webhook_tenant(database) as owner:
            owners.append(owner.tenant)
            for number in range(endpoints):
                await owner.endpoint(str(number), "http://127.0.0.1:9/")
                if failing:
                    await owner.move(str(number), "failing_since", "1 hour")
            await owner.event()
    async with database.transaction() as session:
        claimed = await event_outbox.claim_posts(session, room, [])
    return [[post.id for post in claimed if post.tenant == owner] for owner in owners]


async def test_no_tenant_takes_all_places(webhook_tenant: WebhookTenant, database: Database) -> None:
    room = ConcurrencyLimits(max_total=10, of_tenant=6)
    many, few = await under_way(database, room, (12, False), (2, False))
    assert (len(many), len(few)) == (6, 2)


async def test_tenants_share_the_last_slots_round_robin(webhook_tenant: WebhookTenant, database: Database) -> None:
    many, few = await under_way(database, ConcurrencyLimits(max_total=5, of_tenant=5), (12, False), (2, False))
    assert (len(many), len(few)) == (3, 2)


async def test_endpoints_that_fail_together_leave_places_to_the_others(
    webhook_tenant: WebhookTenant, database: Database
) -> None:
    failing, well = await under_way(database, ConcurrencyLimits(max_total=10, failing=4), (9, True), (9, False))
    assert (len(failing), len(well)) == (1, 9)


async def test_failing_endpoints_never_take_all_free_slots(webhook_tenant: WebhookTenant, database: Database) -> None:
    [failing] = await under_way(database, ConcurrencyLimits(max_total=10, failing=4), (9, True))
    assert len(failing) == 4


async def test_posts_in_flight_count_against_the_limit(webhook_tenant: WebhookTenant, database: Database) -> None:
    await webhook_tenant.endpoint("shop", "http://127.0.0.1:9/")
    for _ in range(5):
        await webhook_tenant.event()
    room = ConcurrencyLimits(max_per_endpoint=3)
    async with database.transaction() as session:
        first = await event_outbox.claim_posts(session, room, [])
        assert len(first) == 3
        assert await event_outbox.claim_posts(session, room, first) == []
        assert len(await event_outbox.claim_posts(session, room, first[:1])) == 2


async def test_a_claim_neither_waits_for_another_nor_takes_the_same(
    webhook_tenant: WebhookTenant, database: Database
) -> None:
    await webhook_tenant.endpoint("shop", "http://127.0.0.1:9/")
    for _ in range(3):
        await webhook_tenant.event()
    async with asyncio.timeout(60), database.transaction() as one, database.transaction() as two:
        first = await event_outbox.claim_posts(one, ConcurrencyLimits(max_per_endpoint=2), [])
        second = await event_outbox.claim_posts(two, ConcurrencyLimits(max_per_endpoint=2), [])
    assert (len(first), len(second)) == (2, 1)
    assert not {post.id for post in first} & {post.id for post in second}


async def test_two_posters_never_post_the_same_message(
    webhook_tenant: WebhookTenant, database: Database, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    async with outgoing_client() as client:
        another = EventPoster(database, Transport(client))
        for _ in range(30):
            await webhook_tenant.event()
        both = [asyncio.create_task(posts.run()) for posts in (webhook_tenant.posts, another)]
        try:
            await receiver.wait_for_requests(30)
            await eventually(lambda: webhook_tenant.messages("shop"), lambda seen: all(m["delivered_at"] for m in seen))
        finally:
            for running in both:
                running.cancel()
            await asyncio.gather(*both, return_exceptions=True)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 30


async def test_a_post_of_a_killed_process_is_repeated_with_the_same_id(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.event()
    receiver.is_holding = True
    running = asyncio.create_task(webhook_tenant.posts.run())
    await receiver.wait_for_requests(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    message = await webhook_tenant.message("shop")
    assert 25 < message["wait"] <= 30
    await webhook_tenant.make_retries_due()
    receiver.release()
    await webhook_tenant.post()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (await webhook_tenant.message("shop"))["delivered_at"] is not None


async def test_a_process_without_the_lease_does_not_delay_its_successor(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.event()
    receiver.is_holding = True
    receiver.reply = Reply(status=500)
    await webhook_tenant.start()
    await receiver.wait_for_requests(1)
    await webhook_tenant.query(
        "UPDATE event_message SET next_attempt_at = now() + interval '7 seconds', attempt_count = 5"
    )
    receiver.release()
    await webhook_tenant.posts.drain()
    message = await webhook_tenant.message("shop")
    assert (message["attempt_count"], message["last_status"]) == (5, None)
    assert 0 < message["wait"] <= 7
