"""What a tenant's own services hear of its notifications: the whole way, from a send to their endpoint."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import standardwebhooks

from tests.engine import Engine, Shop, open_shop
from tests.polling import eventually
from tests.providers.harness_http import Reply, Request
from tests.receivers import Receiver, open_receiver, verified

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver


async def subscribed(shop: Shop, receiver: Receiver, *events: str, key: str = "crm") -> str:
    """The secret of an endpoint; the shop can send by e-mail."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+open@example.com")
    await shop.person("eve", email="eve+refuse@example.com")
    body = {"url": receiver.url, "events": list(events or ["*"])}
    return str((await shop.ok("PUT", f"/event-endpoints/{key}", body))["secret"])


async def attempts(shop: Shop, key: str = "crm", **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    items: list[dict[str, Any]] = (await shop.ok("GET", f"/event-endpoints/{key}/attempts?{query}"))["items"]
    return items


async def now_is_the_time(shop: Shop) -> None:
    """For every next try; the poster that looks at its clock sees it within two seconds."""
    await shop.engine.sql(
        "UPDATE event_message SET next_try_at = now() WHERE tenant = :tenant AND next_try_at IS NOT NULL",
        tenant=shop.tenant,
    )
    shop.engine.parts.event_posts.wake()


def of(requests: list[Request], type: str) -> Request:
    [found] = [request for request in requests if f'"{type}"'.encode() in request.body]
    return found


async def test_every_status_of_a_notification_is_told_and_verifies(shop: Shop, receiver: Receiver) -> None:
    secret = await subscribed(shop, receiver)
    id = await shop.send("news", tags=["spring"])
    await receiver.got(3)
    told = {verified(request, secret)["type"]: verified(request, secret) for request in receiver.requests}
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
        verified(receiver.requests[0], "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


async def test_reading_an_inbox_message_is_reported_as_an_opening(shop: Shop, receiver: Receiver) -> None:
    secret = await subscribed(shop, receiver, "notification.opened")
    await shop.type("note", ["in_app"])
    id = await shop.send("note")
    await shop.ended(id, "SENT")
    [item] = (await shop.ok("GET", "/inbox?recipient_id=ada"))["items"]
    await shop.ok("POST", f"/inbox/{item['id']}/read")
    [request] = await receiver.got(1)
    told = verified(request, secret)["data"]
    assert (told["notification_id"], told["channel"]) == (id, "in_app")


async def test_a_failure_says_why(shop: Shop, receiver: Receiver) -> None:
    secret = await subscribed(shop, receiver, "notification.failed", "notification.canceled")
    id = await shop.send("news", "eve")
    held = await shop.send("news", send_at="2099-01-01T00:00:00Z")
    await shop.cancel(held)
    await receiver.got(2)
    failed = verified(of(receiver.requests, "notification.failed"), secret)["data"]
    shown = await shop.shown(id)
    assert (failed["notification_id"], failed["reason"]) == (id, shown["failure_reason"])
    assert failed["category"] == shown["failure_category"] == "recipient"
    assert "refused_recipient" in failed["reason"]
    canceled = verified(of(receiver.requests, "notification.canceled"), secret)["data"]
    assert canceled["notification_id"] == held


async def test_an_endpoint_that_was_away_gets_it_when_it_is_back(shop: Shop, receiver: Receiver) -> None:
    secret = await subscribed(shop, receiver, "notification.delivered")
    await receiver.stop()
    id = await shop.send("news")
    [waiting] = await eventually(lambda: attempts(shop), lambda items: bool(items and items[0]["calls"]))
    assert (waiting["status"], waiting["last_error"]) == ("waiting", "connect_failed")
    assert waiting["next_try_at"] is not None
    assert (await shop.ok("GET", "/event-endpoints/crm"))["failing_since"] is not None
    await receiver.start()
    await now_is_the_time(shop)
    [request] = await receiver.got(1)
    assert request.headers["webhook-id"] == waiting["id"]
    assert verified(request, secret)["data"]["notification_id"] == id
    [done] = await eventually(lambda: attempts(shop, status="delivered"), bool)
    assert done["tries"] >= 2
    assert (await shop.ok("GET", "/event-endpoints/crm"))["failing_since"] is None


async def test_a_test_goes_the_same_way(shop: Shop, receiver: Receiver) -> None:
    secret = await subscribed(shop, receiver, "notification.expired")
    told = await shop.ok("POST", "/event-endpoints/crm/test")
    [request] = await receiver.got(1)
    assert request.headers["webhook-id"] == told["message_id"]
    assert verified(request, secret)["type"] == "endpoint.test"


async def test_what_was_lost_is_replayed_with_the_ids_it_had(shop: Shop, receiver: Receiver) -> None:
    """A receiver that said 200 and lost it, and one that was disabled: both get everything again."""
    await subscribed(shop, receiver, "notification.delivered")
    since = (await shop.shown(await shop.send("news")))["created_at"]
    [first] = await receiver.got(1)
    await eventually(lambda: attempts(shop, status="delivered"), bool)
    await shop.ok("POST", "/event-endpoints/crm/replay", {"message_id": first.headers["webhook-id"]})
    _, again = await receiver.got(2)
    assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)

    endpoint = {"url": receiver.url, "events": ["notification.delivered"]}
    await shop.ok("PUT", "/event-endpoints/crm", {**endpoint, "enabled": False})
    missed = await shop.send("news")
    [kept] = await eventually(lambda: attempts(shop, status="failed"), bool)
    assert (kept["notification_id"], kept["last_error"], kept["calls"]) == (missed, "endpoint_disabled", [])
    await shop.ok("PUT", "/event-endpoints/crm", endpoint)
    assert (await shop.ok("POST", "/event-endpoints/crm/replay", {"since": since}))["replayed"] == 1
    assert (await receiver.got(3))[2].headers["webhook-id"] == kept["id"]


async def test_an_endpoint_that_says_gone_is_switched_off_and_shown_so(shop: Shop, receiver: Receiver) -> None:
    await subscribed(shop, receiver)
    receiver.reply = Reply(status=410)
    await shop.send("news")
    shown = await eventually(lambda: shop.ok("GET", "/event-endpoints/crm"), lambda endpoint: not endpoint["enabled"])
    assert shown["disabled_reason"] == "gone"


async def test_two_tenants_never_hear_of_each_other(engine: Engine, shop: Shop, receiver: Receiver) -> None:
    mine = await subscribed(shop, receiver)
    async with open_shop(engine) as neighbours, open_receiver() as theirs:
        secret = await subscribed(neighbours, theirs)
        ids = {await shop.send("news"), await shop.send("news", "eve")}
        their_id = await neighbours.send("news")
        await asyncio.gather(receiver.got(4), theirs.got(3))
        assert {verified(request, mine)["data"]["notification_id"] for request in receiver.requests} == ids
        assert {verified(request, secret)["data"]["notification_id"] for request in theirs.requests} == {their_id}
