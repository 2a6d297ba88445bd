"""Check event webhooks from a send to the tenant's endpoint."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import standardwebhooks

from testing.vendors.http import Reply, Request
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine
from tests.polling import eventually
from tests.receivers import EventReceiver, open_event_receiver, verify_request

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def receiver() -> AsyncIterator[EventReceiver]:
    async with open_event_receiver() as receiver:
        yield receiver


async def put_endpoint(api_tenant: ApiTenant, receiver: EventReceiver, *events: str, key: str = "crm") -> str:
    """Put an endpoint, an email type and two recipients, and return the endpoint's secret."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+open@example.com")
    await api_tenant.put_recipient("eve", email="eve+refuse@example.com")
    body = {"url": receiver.url, "events": list(events or ["*"])}
    return str((await api_tenant.call("PUT", f"/event-endpoints/{key}", body))["secret"])


async def list_attempts(api_tenant: ApiTenant, key: str = "crm", **filters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    items: list[dict[str, Any]] = (await api_tenant.call("GET", f"/event-endpoints/{key}/attempts?{query}"))["items"]
    return items


async def make_retries_due(api_tenant: ApiTenant) -> None:
    """Make every retry due and wake the poster, which otherwise polls every two seconds."""
    await api_tenant.engine.sql(
        "UPDATE event_message SET next_attempt_at = now() WHERE tenant = :tenant AND next_attempt_at IS NOT NULL",
        tenant=api_tenant.tenant,
    )
    api_tenant.engine.container.event_poster.wake()


def find_request(requests: list[Request], type: str) -> Request:
    [request] = [request for request in requests if f'"{type}"'.encode() in request.body]
    return request


async def test_every_status_of_a_notification_is_posted_and_verifies(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    secret = await put_endpoint(api_tenant, receiver)
    id = await api_tenant.send("news", tags=["spring"])
    await receiver.wait_for_requests(3)
    events = {verify_request(request, secret)["type"]: verify_request(request, secret) for request in receiver.requests}
    assert set(events) == {"notification.sent", "notification.delivered", "notification.opened"}
    assert events["notification.delivered"]["data"] == {
        "notification_id": id,
        "notification_type": "news",
        "recipient_id": "ada",
        "status": "DELIVERED",
        "channel": "email",
        "reason": None,
        "category": None,
        "reported_by": None,
        "tags": ["spring"],
    }
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify_request(receiver.requests[0], "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


async def test_reading_an_inbox_message_posts_an_opened_event(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    secret = await put_endpoint(api_tenant, receiver, "notification.opened")
    await api_tenant.put_type("note", ["in_app"])
    id = await api_tenant.send("note")
    await api_tenant.wait_for_end(id, "SENT")
    [item] = (await api_tenant.call("GET", "/inbox?recipient_id=ada"))["items"]
    await api_tenant.call("POST", f"/inbox/{item['id']}/read")
    [request] = await receiver.wait_for_requests(1)
    event = verify_request(request, secret)["data"]
    assert (event["notification_id"], event["channel"]) == (id, "in_app")


async def test_a_failure_event_has_a_reason(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    secret = await put_endpoint(api_tenant, receiver, "notification.failed", "notification.canceled")
    id = await api_tenant.send("news", "eve")
    scheduled = await api_tenant.send("news", send_at="2099-01-01T00:00:00Z")
    await api_tenant.cancel(scheduled)
    await receiver.wait_for_requests(2)
    failed = verify_request(find_request(receiver.requests, "notification.failed"), secret)["data"]
    notification = await api_tenant.notification(id)
    assert (failed["notification_id"], failed["reason"]) == (id, notification["failure_reason"])
    assert failed["category"] == notification["failure_category"] == "recipient"
    assert "refused_recipient" in failed["reason"]
    canceled = verify_request(find_request(receiver.requests, "notification.canceled"), secret)["data"]
    assert canceled["notification_id"] == scheduled


async def test_an_unavailable_endpoint_gets_the_event_after_it_recovers(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    secret = await put_endpoint(api_tenant, receiver, "notification.delivered")
    await receiver.stop()
    id = await api_tenant.send("news")
    [waiting] = await eventually(lambda: list_attempts(api_tenant), lambda items: bool(items and items[0]["attempts"]))
    assert (waiting["status"], waiting["last_error"]) == ("waiting", "connect_failed")
    assert waiting["next_attempt_at"] is not None
    assert (await api_tenant.call("GET", "/event-endpoints/crm"))["failing_since"] is not None
    await receiver.start()
    await make_retries_due(api_tenant)
    [request] = await receiver.wait_for_requests(1)
    assert request.headers["webhook-id"] == waiting["id"]
    assert verify_request(request, secret)["data"]["notification_id"] == id
    [delivered] = await eventually(lambda: list_attempts(api_tenant, status="delivered"), bool)
    assert delivered["attempt_count"] >= 2
    assert (await api_tenant.call("GET", "/event-endpoints/crm"))["failing_since"] is None


async def test_a_test_event_reaches_the_endpoint(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    secret = await put_endpoint(api_tenant, receiver, "notification.expired")
    response = await api_tenant.call("POST", "/event-endpoints/crm/test")
    [request] = await receiver.wait_for_requests(1)
    assert request.headers["webhook-id"] == response["message_id"]
    assert verify_request(request, secret)["type"] == "endpoint.test"


async def test_lost_events_are_replayed_with_their_ids(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    """Replay the event of a receiver that returned 200 and lost it, and the event of a disabled receiver."""
    await put_endpoint(api_tenant, receiver, "notification.delivered")
    since = (await api_tenant.notification(await api_tenant.send("news")))["created_at"]
    [first] = await receiver.wait_for_requests(1)
    await eventually(lambda: list_attempts(api_tenant, status="delivered"), bool)
    await api_tenant.call("POST", "/event-endpoints/crm/replay", {"message_id": first.headers["webhook-id"]})
    _, replayed = await receiver.wait_for_requests(2)
    assert (replayed.headers["webhook-id"], replayed.body) == (first.headers["webhook-id"], first.body)

    endpoint = {"url": receiver.url, "events": ["notification.delivered"]}
    await api_tenant.call("PUT", "/event-endpoints/crm", {**endpoint, "enabled": False})
    missed_id = await api_tenant.send("news")
    [missed_event] = await eventually(lambda: list_attempts(api_tenant, status="failed"), bool)
    assert (missed_event["notification_id"], missed_event["last_error"], missed_event["attempts"]) == (
        missed_id,
        "endpoint_disabled",
        [],
    )
    await api_tenant.call("PUT", "/event-endpoints/crm", endpoint)
    assert (await api_tenant.call("POST", "/event-endpoints/crm/replay", {"since": since}))["replayed"] == 1
    assert (await receiver.wait_for_requests(3))[2].headers["webhook-id"] == missed_event["id"]


async def test_an_endpoint_that_returns_410_is_disabled_with_the_reason(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    await put_endpoint(api_tenant, receiver)
    receiver.reply = Reply(status=410)
    await api_tenant.send("news")
    endpoint = await eventually(
        lambda: api_tenant.call("GET", "/event-endpoints/crm"), lambda found: not found["enabled"]
    )
    assert endpoint["disabled_reason"] == "gone"


async def test_tenants_receive_no_events_of_each_other(
    engine: Engine, api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    secret = await put_endpoint(api_tenant, receiver)
    async with open_api_tenant(engine) as other_api_tenant, open_event_receiver() as other_receiver:
        other_secret = await put_endpoint(other_api_tenant, other_receiver)
        ids = {await api_tenant.send("news"), await api_tenant.send("news", "eve")}
        other_id = await other_api_tenant.send("news")
        await asyncio.gather(receiver.wait_for_requests(4), other_receiver.wait_for_requests(3))
        assert list_notification_ids(receiver, secret) == ids
        assert list_notification_ids(other_receiver, other_secret) == {other_id}


def list_notification_ids(receiver: EventReceiver, secret: str) -> set[str]:
    return {verify_request(request, secret)["data"]["notification_id"] for request in receiver.requests}
