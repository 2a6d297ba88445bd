"""Test the posting of events: signatures, retries, and independence of endpoints."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import standardwebhooks
from structlog.testing import capture_logs

from dispatch import event_requests
from dispatch.event_poster import EventPoster
from domain.event_webhooks import RETRY_DELAYS
from domain.target_urls import TargetPolicy
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.transport import Transport, outgoing_client
from storage import event_endpoints, event_outbox
from storage.database import Database
from storage.event_outbox import ConcurrencyLimits
from testing.vendors.http import Reply
from tests.dispatch.webhook_tenants import WebhookTenant, open_webhook_tenant, record_delivered
from tests.polling import eventually
from tests.receivers import EventReceiver, open_event_receiver, verify_request

pytestmark = pytest.mark.postgres


@pytest.fixture
async def webhook_tenant(database: Database) -> AsyncIterator[WebhookTenant]:
    """Claims are made over all tenants: the database contains only what the test inserts."""
    async with open_webhook_tenant(database) as webhook_tenant:
        await webhook_tenant.database_tenant.query("TRUNCATE event_endpoint CASCADE")
        yield webhook_tenant


@pytest.fixture
async def receiver() -> AsyncIterator[EventReceiver]:
    async with open_event_receiver() as receiver:
        yield receiver


async def test_an_event_arrives_signed_and_is_done_with(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    row = await webhook_tenant.endpoint("shop", receiver.url)
    sent = await webhook_tenant.event()
    await webhook_tenant.post()
    [request] = receiver.requests
    event = verify_request(request, webhook_tenant.secret_of(row))
    assert (request.method, request.target, event["type"]) == ("POST", "/events", "notification.sent")
    assert event["data"]["notification_id"] == str(sent.id)
    message = await webhook_tenant.message("shop")
    assert request.headers["webhook-id"] == str(message["id"])
    assert (message["next_attempt_at"], message["last_status"], message["last_error"]) == (None, 204, None)
    assert message["delivered_at"] is not None
    [call] = message["attempts"]
    assert (call["status"], call["error"]) == (204, None)


async def test_a_changed_byte_or_another_secret_is_noticed(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    row = await webhook_tenant.endpoint("shop", receiver.url)
    other = await webhook_tenant.endpoint("other", "http://127.0.0.1:9/", "notification.expired")
    await webhook_tenant.event()
    await webhook_tenant.post()
    [request] = receiver.requests
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify_request(request, webhook_tenant.secret_of(other))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(webhook_tenant.secret_of(row)).verify(request.body + b" ", dict(request.headers))


async def test_an_unavailable_receiver_is_retried_by_the_schedule(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await receiver.stop()
    await webhook_tenant.event()
    for tries, pause in enumerate([*RETRY_DELAYS[1:], None], start=1):
        await webhook_tenant.make_retries_due()
        await webhook_tenant.post()
        message = await webhook_tenant.message("shop")
        assert (message["attempt_count"], message["last_status"], message["last_error"]) == (
            tries,
            None,
            "connect_failed",
        )
        if pause is None:
            assert message["wait"] is None
        else:
            assert 0.9 * pause.total_seconds() - 2 < message["wait"] <= 1.1 * pause.total_seconds()
    assert message["given_up_at"] is not None
    assert message["delivered_at"] is None
    assert [call["error"] for call in message["attempts"]] == ["connect_failed"] * 8


async def test_a_receiver_that_recovers_gets_the_same_message_with_the_same_id(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    row = await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.event()
    for status in (500, 404, 301, 200):
        receiver.reply = Reply(status=status, headers={"location": receiver.url})
        await webhook_tenant.make_retries_due()
        await webhook_tenant.post()
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert len(receiver.requests) == 4, "a redirect was followed"
    for request in receiver.requests:
        verify_request(request, webhook_tenant.secret_of(row))
    message = await webhook_tenant.message("shop")
    errors = [call["error"] for call in message["attempts"]]
    assert errors == ["status_500", "status_404", "status_301", None]
    assert (message["next_attempt_at"], message["given_up_at"], message["attempt_count"]) == (None, None, 4)
    assert (await webhook_tenant.seen("shop")).failing_since is None


@pytest.mark.parametrize(
    ("said", "least", "most"), [("120", 118, 120), ("864000", 35_990, 36_000), ("nonsense", 0, 5.5), ("0", 0, 5.5)]
)
async def test_a_receiver_may_request_a_longer_delay(
    webhook_tenant: WebhookTenant, receiver: EventReceiver, said: str, least: float, most: float
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    receiver.reply = Reply(status=429, headers={"Retry-After": said})
    await webhook_tenant.event()
    await webhook_tenant.post()
    assert least < (await webhook_tenant.message("shop"))["wait"] <= most


async def test_a_slow_response_is_a_failure(
    webhook_tenant: WebhookTenant, receiver: EventReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_requests, "TIMEOUT", 0.1)
    await webhook_tenant.endpoint("shop", receiver.url)
    receiver.is_holding = True
    await webhook_tenant.event()
    await webhook_tenant.post()
    assert (await webhook_tenant.message("shop"))["last_error"] == "timeout"


async def test_an_endpoint_that_returns_gone_is_disabled_and_others_are_posted(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url, "notification.sent")
    async with open_event_receiver() as other:
        row = await webhook_tenant.endpoint("audit", other.url, "notification.expired")
        receiver.reply = Reply(status=410)
        await webhook_tenant.event()
        with capture_logs() as logs:
            await webhook_tenant.post()
        [request] = other.requests
        assert verify_request(request, webhook_tenant.secret_of(row))["data"] == {"endpoint": "shop", "reason": "gone"}
        assert other.types == ["endpoint.disabled"]
    [said] = [log for log in logs if log["log_level"] == "error"]
    assert (said["endpoint"], said["reason"]) == ("shop", "gone")
    shop = await webhook_tenant.seen("shop")
    assert (shop.enabled, shop.disabled_reason) == (False, "gone")
    assert shop.disabled_at is not None
    message = await webhook_tenant.message("shop")
    assert (message["next_attempt_at"], message["last_status"]) == (None, 410)
    assert message["given_up_at"] is not None
    await webhook_tenant.event()
    await webhook_tenant.post()
    assert len(receiver.requests) == 1


async def failed_since(webhook_tenant: WebhookTenant, since: str, last: str) -> bool:
    """Return whether an endpoint is still enabled after another failure."""
    await webhook_tenant.endpoint("shop", "http://127.0.0.1:9/")
    await webhook_tenant.move("shop", "failing_since", since)
    await webhook_tenant.move("shop", "failed_at", last)
    await webhook_tenant.event()
    await webhook_tenant.post()
    return (await webhook_tenant.seen("shop")).enabled


async def test_an_endpoint_is_disabled_after_five_days_of_failure(webhook_tenant: WebhookTenant) -> None:
    assert not await failed_since(webhook_tenant, "5 days", "10 hours")
    assert (await webhook_tenant.seen("shop")).disabled_reason == "failing"


async def test_an_endpoint_stays_enabled_before_five_days_of_failure(webhook_tenant: WebhookTenant) -> None:
    assert await failed_since(webhook_tenant, "4 days 23 hours", "10 hours")


async def test_a_failure_after_a_silence_does_not_disable_it(webhook_tenant: WebhookTenant) -> None:
    assert await failed_since(webhook_tenant, "9 days", "7 days")


async def test_one_success_restarts_the_count_of_failures(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.move("shop", "failing_since", "4 days")
    await webhook_tenant.event()
    await webhook_tenant.post()
    assert (await webhook_tenant.seen("shop")).failing_since is None


async def test_enabling_an_endpoint_resets_its_failures(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    await failed_since(webhook_tenant, "5 days", "1 hour")
    row = await webhook_tenant.endpoint("shop", receiver.url)
    assert (row.enabled, row.disabled_at, row.disabled_reason, row.failing_since) == (True, None, None, None)
    receiver.reply = Reply(status=500)
    await webhook_tenant.event()
    await webhook_tenant.post()
    assert (await webhook_tenant.seen("shop")).enabled


async def test_after_a_rotation_both_secrets_verify_for_a_day(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    old = webhook_tenant.secret_of(await webhook_tenant.endpoint("shop", receiver.url))
    async with webhook_tenant.database_tenant.database.transaction() as session:
        row = await event_endpoints.rotate_secret(session, webhook_tenant.database_tenant.tenant, "shop")
    assert row is not None
    new = webhook_tenant.secret_of(row)
    assert new != old
    await webhook_tenant.event()
    await webhook_tenant.post()
    [request] = receiver.requests
    assert verify_request(request, old) == verify_request(request, new)
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    await webhook_tenant.move("shop", "previous_until", "1 second")
    await webhook_tenant.event()
    await webhook_tenant.post()
    verify_request(receiver.requests[1], new)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify_request(receiver.requests[1], old)


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
            owners.append(owner.database_tenant.tenant)
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
    await webhook_tenant.database_tenant.query(
        "UPDATE event_message SET next_attempt_at = now() + interval '7 seconds', attempt_count = 5"
    )
    receiver.release()
    await webhook_tenant.posts.drain()
    message = await webhook_tenant.message("shop")
    assert (message["attempt_count"], message["last_status"]) == (5, None)
    assert 0 < message["wait"] <= 7


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:7f00:1]:{port}/"]
)
async def test_private_addresses_get_nothing(
    webhook_tenant: WebhookTenant, database: Database, receiver: EventReceiver, url: str
) -> None:
    async with outgoing_client(
        guarded_http_transport(GuardedBackend(TargetPolicy(ports=frozenset()), failure_delay=0))
    ) as client:
        posts = EventPoster(database, Transport(client))
        await webhook_tenant.endpoint("inside", url.format(port=receiver.port))
        await webhook_tenant.event()
        await posts.post_due()
        await posts.drain()
    assert receiver.requests == []
    message = await webhook_tenant.message("inside")
    assert (message["last_error"], message["last_status"]) == ("connect_failed", None)
    assert message["wait"] > 0


async def test_an_internal_error_fails_only_its_post(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    row = await webhook_tenant.endpoint("broken", receiver.url)
    await webhook_tenant.endpoint("shop", receiver.url)
    empty = webhook_tenant.database_tenant.database.encryption.encrypt(
        "", event_endpoints.secret_owner_of(row.tenant, row.id), "secret"
    )
    await webhook_tenant.database_tenant.query(
        "UPDATE event_endpoint SET secret = :empty WHERE key = 'broken'", empty=empty
    )
    await webhook_tenant.event()
    await webhook_tenant.post()
    broken, shop = await webhook_tenant.message("broken"), await webhook_tenant.message("shop")
    assert (broken["last_error"], broken["attempt_count"], shop["last_error"]) == ("internal", 1, None)
    assert broken["wait"] > 0


@pytest.mark.parametrize("url", ["http://[", "http://", "https://127.0.0.1:99999/", "no url", "http://\x7f/"])
async def test_an_invalid_address_is_retried_and_given_up_like_any_other(
    webhook_tenant: WebhookTenant, url: str
) -> None:
    """The API refuses such addresses; a row with one must not stop the poster."""
    await webhook_tenant.endpoint("odd", url)
    await webhook_tenant.event()
    await webhook_tenant.post()
    message = await webhook_tenant.message("odd")
    assert message["last_error"] in ("connect_failed", "internal")
    assert message["wait"] > 0


async def test_disabled_and_deleted_endpoints_get_nothing(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    for key in ("off", "gone", "on"):
        await webhook_tenant.endpoint(key, receiver.url)
    await webhook_tenant.event()
    await webhook_tenant.endpoint("off", receiver.url, enabled=False)
    async with webhook_tenant.database_tenant.database.transaction() as session:
        assert await event_endpoints.remove(session, webhook_tenant.database_tenant.tenant, "gone")
    await webhook_tenant.post()
    assert len(receiver.requests) == 1


async def test_events_due_while_disabled_are_given_up_separately_from_failures(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("off", "http://127.0.0.1:9/")
    await webhook_tenant.event()
    await webhook_tenant.endpoint("off", "http://127.0.0.1:9/", enabled=False)
    await webhook_tenant.posts.prune()
    message = await webhook_tenant.message("off")
    assert (message["next_attempt_at"], message["last_error"]) == (None, "endpoint_disabled")
    assert message["given_up_at"] is not None


async def test_messages_are_kept_for_thirty_days_unless_they_wait(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    old = await webhook_tenant.event()
    await webhook_tenant.post()
    waiting = await webhook_tenant.event()
    young = await webhook_tenant.event()
    await webhook_tenant.database_tenant.query("UPDATE event_message SET occurred_at = now() - interval '31 days'")
    await webhook_tenant.database_tenant.query(
        "UPDATE event_message SET next_attempt_at = NULL, occurred_at = now() - interval '29 days'"
        " WHERE notification_id = :id",
        id=young.id,
    )
    await webhook_tenant.posts.prune()
    kept = {message["notification_id"] for message in await webhook_tenant.messages("shop")}
    assert kept == {waiting.id, young.id}
    assert old.id not in kept


async def test_a_deleted_endpoint_and_its_messages_go_in_the_end(
    webhook_tenant: WebhookTenant, database: Database
) -> None:
    async def rows(table: str) -> int:
        [row] = await webhook_tenant.database_tenant.query(
            f"SELECT count(*) AS n FROM {table} WHERE tenant = :id", id=webhook_tenant.database_tenant.tenant
        )
        return int(row["n"])

    await webhook_tenant.endpoint("gone", "http://127.0.0.1:9/")
    await webhook_tenant.event()
    async with database.transaction() as session:
        await event_endpoints.remove(session, webhook_tenant.database_tenant.tenant, "gone")
    await webhook_tenant.posts.prune()
    assert (await rows("event_message"), await rows("event_endpoint")) == (0, 1)
    await webhook_tenant.database_tenant.query("UPDATE event_endpoint SET deleted_at = now() - interval '2 hours'")
    await webhook_tenant.posts.prune()
    assert await rows("event_endpoint") == 0


async def test_of_very_many_tries_the_last_twenty_are_shown(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.event()
    many: list[dict[str, Any]] = [{"at": "x", "status": number, "ms": 1, "error": "x"} for number in range(40)]
    await webhook_tenant.database_tenant.query(
        "UPDATE event_message SET attempts = CAST(:attempts AS jsonb)", attempts=json.dumps(many)
    )
    await webhook_tenant.post()
    calls = (await webhook_tenant.message("shop"))["attempts"]
    assert [call["status"] for call in calls] == [*range(21, 40), 204]


async def test_the_log_names_no_recipient(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    await webhook_tenant.endpoint("shop", receiver.url + "/secret-path")
    receiver.reply = Reply(status=410)
    await webhook_tenant.event()
    with capture_logs() as logs:
        await webhook_tenant.post()
    assert logs
    assert not any(word in str(logs) for word in ("ada", "secret-path", "127.0.0.1", "whsec_"))


async def test_a_delivered_event_follows_the_sent_event(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    sent = await webhook_tenant.event()
    await webhook_tenant.post()
    await record_delivered(sent)
    await webhook_tenant.post()
    assert receiver.types == ["notification.sent", "notification.delivered"]
