"""Test when an endpoint is disabled, and that posts to one neither stop nor delay the others."""

import pytest
from structlog.testing import capture_logs

from storage import event_endpoints
from testing.vendors.http import Reply
from tests.dispatch.webhook_tenants import WebhookTenant
from tests.receivers import EventReceiver, open_event_receiver, verify_request

pytestmark = pytest.mark.postgres


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


async def test_an_internal_error_fails_only_its_post(webhook_tenant: WebhookTenant, receiver: EventReceiver) -> None:
    row = await webhook_tenant.endpoint("broken", receiver.url)
    await webhook_tenant.endpoint("shop", receiver.url)
    empty = webhook_tenant.database.encryption.encrypt(
        "", event_endpoints.secret_owner_of(row.tenant, row.id), "secret"
    )
    await webhook_tenant.query("UPDATE event_endpoint SET secret = :empty WHERE key = 'broken'", empty=empty)
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
    async with webhook_tenant.database.transaction() as session:
        assert await event_endpoints.remove(session, webhook_tenant.tenant, "gone")
    await webhook_tenant.post()
    assert len(receiver.requests) == 1
