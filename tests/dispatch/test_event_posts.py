"""Test the posting of events: signatures, retries, and what a receiver gets."""

import pytest
import standardwebhooks
from structlog.testing import capture_logs

from dispatch import event_requests
from dispatch.event_poster import EventPoster
from domain.event_webhooks import RETRY_DELAYS
from domain.target_urls import TargetPolicy
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.transport import Transport, outgoing_client
from storage import event_endpoints
from storage.database import Database
from testing.vendors.http import Reply
from tests.dispatch.webhook_tenants import WebhookTenant, record_delivered
from tests.receivers import EventReceiver, verify_request

pytestmark = pytest.mark.postgres


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


async def test_after_a_rotation_both_secrets_verify_for_a_day(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    old = webhook_tenant.secret_of(await webhook_tenant.endpoint("shop", receiver.url))
    async with webhook_tenant.database.transaction() as session:
        row = await event_endpoints.rotate_secret(session, webhook_tenant.tenant, "shop")
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
