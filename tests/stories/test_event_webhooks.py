"""What a tenant's own services hear of its notifications: the whole way, from a send to their endpoint."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import standardwebhooks

from tests.engine import ApiTenant, Engine, open_api_tenant
from tests.polling import eventually
from tests.providers.harness_http import Reply, Request
from tests.receivers import EventReceiver, open_event_receiver, verify_request

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def receiver() -> AsyncIterator[EventReceiver]:
    async with open_event_receiver() as receiver:
        yield receiver


async def subscribed(api_tenant: ApiTenant, receiver: EventReceiver, *events: str, key: str = "crm") -> str:
    """The secret of an endpoint; the shop can send by e-mail."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+open@example.com")
    await api_tenant.put_recipient("eve", email="eve+refuse@example.com")
    body = {"url": receiver.url, "events": list(events or ["*"])}
    return str((await api_tenant.call("PUT", f"/event-endpoints/{key}", body))["secret"])


async def attempts(api_tenant: ApiTenant, key: str = "crm", **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    items: list[dict[str, Any]] = (await api_tenant.call("GET", f"/event-endpoints/{key}/attempts?{query}"))["items"]
    return items


async def make_retries_due(api_tenant: ApiTenant) -> None:
    """For every next try; the poster that looks at its clock sees it within two seconds."""
    await api_tenant.engine.sql(
        "UPDATE event_message SET next_attempt_at = now() WHERE tenant = :tenant AND next_attempt_at IS NOT NULL",
        tenant=api_tenant.tenant,
    )
    api_tenant.engine.container.event_poster.wake()


def of(requests: list[Request], type: str) -> Request:
    [found] = [request for request in requests if f'"{type}"'.encode() in request.body]
    return found


async def test_every_status_of_a_notification_is_posted_and_verifies(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    secret = await subscribed(api_tenant, receiver)
    id = await api_tenant.send("news", tags=["spring"])
    await receiver.wait_for_requests(3)
    told = {verify_request(request, secret)["type"]: verify_request(request, secret) for request in receiver.requests}
    assert set(told) == {"notification.sent", "notification.delivered", "notification.opened"}
    assert told["notification.delivered"]["data"] == {
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


async def test_reading_an_inbox_message_is_reported_as_an_opening(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    secret = await subscribed(api_tenant, receiver, "notification.opened")
    await api_tenant.put_type("note", ["in_app"])
    id = await api_tenant.send("note")
    await api_tenant.wait_for_end(id, "SENT")
    [item] = (await api_tenant.call("GET", "/inbox?recipient_id=ada"))["items"]
    await api_tenant.call("POST", f"/inbox/{item['id']}/read")
    [request] = await receiver.wait_for_requests(1)
    told = verify_request(request, secret)["data"]
    assert (told["notification_id"], told["channel"]) == (id, "in_app")


async def test_a_failure_event_has_a_reason(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    secret = await subscribed(api_tenant, receiver, "notification.failed", "notification.canceled")
    id = await api_tenant.send("news", "eve")
    held = await api_tenant.send("news", send_at="2099-01-01T00:00:00Z")
    await api_tenant.cancel(held)
    await receiver.wait_for_requests(2)
    failed = verify_request(of(receiver.requests, "notification.failed"), secret)["data"]
    shown = await api_tenant.notification(id)
    assert (failed["notification_id"], failed["reason"]) == (id, shown["failure_reason"])
    assert failed["category"] == shown["failure_category"] == "recipient"
    assert "refused_recipient" in failed["reason"]
    canceled = verify_request(of(receiver.requests, "notification.canceled"), secret)["data"]
    assert canceled["notification_id"] == held


async def test_an_endpoint_that_was_away_gets_it_when_it_is_back(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    secret = await subscribed(api_tenant, receiver, "notification.delivered")
    await receiver.stop()
    id = await api_tenant.send("news")
    [waiting] = await eventually(lambda: attempts(api_tenant), lambda items: bool(items and items[0]["calls"]))
    assert (waiting["status"], waiting["last_error"]) == ("waiting", "connect_failed")
    assert waiting["next_attempt_at"] is not None
    assert (await api_tenant.call("GET", "/event-endpoints/crm"))["failing_since"] is not None
    await receiver.start()
    await make_retries_due(api_tenant)
    [request] = await receiver.wait_for_requests(1)
    assert request.headers["webhook-id"] == waiting["id"]
    assert verify_request(request, secret)["data"]["notification_id"] == id
    [done] = await eventually(lambda: attempts(api_tenant, status="delivered"), bool)
    assert done["tries"] >= 2
    assert (await api_tenant.call("GET", "/event-endpoints/crm"))["failing_since"] is None


async def test_a_test_goes_the_same_way(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    secret = await subscribed(api_tenant, receiver, "notification.expired")
    told = await api_tenant.call("POST", "/event-endpoints/crm/test")
    [request] = await receiver.wait_for_requests(1)
    assert request.headers["webhook-id"] == told["message_id"]
    assert verify_request(request, secret)["type"] == "endpoint.test"


async def test_lost_events_are_replayed_with_their_ids(api_tenant: ApiTenant, receiver: EventReceiver) -> None:
    """A receiver that said 200 and lost it, and one that was disabled: both get everything again."""
    await subscribed(api_tenant, receiver, "notification.delivered")
    since = (await api_tenant.notification(await api_tenant.send("news")))["created_at"]
    [first] = await receiver.wait_for_requests(1)
    await eventually(lambda: attempts(api_tenant, status="delivered"), bool)
    await api_tenant.call("POST", "/event-endpoints/crm/replay", {"message_id": first.headers["webhook-id"]})
    _, again = await receiver.wait_for_requests(2)
    assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)

    endpoint = {"url": receiver.url, "events": ["notification.delivered"]}
    await api_tenant.call("PUT", "/event-endpoints/crm", {**endpoint, "enabled": False})
    missed = await api_tenant.send("news")
    [kept] = await eventually(lambda: attempts(api_tenant, status="failed"), bool)
    assert (kept["notification_id"], kept["last_error"], kept["calls"]) == (missed, "endpoint_disabled", [])
    await api_tenant.call("PUT", "/event-endpoints/crm", endpoint)
    assert (await api_tenant.call("POST", "/event-endpoints/crm/replay", {"since": since}))["replayed"] == 1
    assert (await receiver.wait_for_requests(3))[2].headers["webhook-id"] == kept["id"]


async def test_an_endpoint_that_returns_gone_is_disabled_and_shown_so(
    api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    await subscribed(api_tenant, receiver)
    receiver.reply = Reply(status=410)
    await api_tenant.send("news")
    shown = await eventually(
        lambda: api_tenant.call("GET", "/event-endpoints/crm"), lambda endpoint: not endpoint["enabled"]
    )
    assert shown["disabled_reason"] == "gone"


async def test_tenants_receive_no_events_of_each_other(
    engine: Engine, api_tenant: ApiTenant, receiver: EventReceiver
) -> None:
    mine = await subscribed(api_tenant, receiver)
    async with open_api_tenant(engine) as neighbours, open_event_receiver() as theirs:
        secret = await subscribed(neighbours, theirs)
        ids = {await api_tenant.send("news"), await api_tenant.send("news", "eve")}
        their_id = await neighbours.send("news")
        await asyncio.gather(receiver.wait_for_requests(4), theirs.wait_for_requests(3))
        assert {verify_request(request, mine)["data"]["notification_id"] for request in receiver.requests} == ids
        assert {verify_request(request, secret)["data"]["notification_id"] for request in theirs.requests} == {their_id}
