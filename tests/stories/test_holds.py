"""Pausing a provider, a channel or a type: nothing is lost or goes out twice, and the most urgent goes on first."""

from datetime import datetime
from functools import partial

import pytest
from sqlalchemy import text

from domain.audit import Actor
from storage import tenants
from tests.engine import Engine, Shop, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def held(shop: Shop, id: str) -> bool:
    return "held" in [entry["kind"] for entry in (await shop.shown(id))["timeline"]]


@pytest.mark.parametrize("what", ["channels/email", "providers/sandbox", "notification-types/news"])
async def test_what_is_paused_waits_and_goes_on_when_it_is_resumed(shop: Shop, what: str) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("POST", f"/{what}/pause", {"reason": "a bad day"})
    id = await shop.send("news")
    await eventually(lambda: held(shop, id), bool)
    assert await shop.outbox() == []
    kind, _, name = what.replace("-", "_").partition("/")
    [pause] = (await shop.ok("GET", "/pauses"))["items"]
    assert [pause[key] for key in ("kind", "name", "by", "reason")] == [kind[:-1], name, "test", "a bad day"]
    await eventually(lambda: shop.ok("GET", "/pauses"), lambda page: page["items"][0]["waiting"] == 1)
    now = (await shop.ok("GET", f"/notifications/{id}/explain"))["lines"][-1]["text"]
    since = datetime.fromisoformat(pause["since"]).isoformat(timespec="seconds").replace("+00:00", "Z")
    assert f"{name} is paused since {since} by test: a bad day" in now
    shown = await shop.shown(id)
    assert (shown["waits_for"], shown["deliveries"][0]["waits_for"]) == ("paused", "paused")
    assert await shop.ok("POST", f"/{what}/resume") == {"paused": False}
    assert (await shop.ok("GET", "/pauses"))["items"] == []
    shown = await shop.ended(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in shown["deliveries"][0]["attempts"]] == ["accepted"]
    [told] = [entry for entry in shown["timeline"] if entry["kind"] == "held"]
    assert told["reason"] == f"paused ({kind[:-1].removeprefix('notification_')} {name})"


async def test_other_channels_of_the_same_notification_do_not_wait(shop: Shop) -> None:
    await shop.type("news", ["email", "sms"])
    await shop.person("ada", email="ada@example.com", phone="+447700900123")
    await shop.ok("POST", "/channels/email/pause")
    id = await shop.send("news")
    await eventually(lambda: held(shop, id), bool)
    await shop.until(id, "DELIVERED")
    assert [message["channel"] for message in await shop.outbox()] == ["sms"]
    await shop.ok("POST", "/channels/email/resume")
    shown = await shop.ended(id, "DELIVERED")
    assert len(shown["deliveries"]) == 2


async def test_a_pause_of_one_tenant_is_not_anothers(shop: Shop, other_shop: Shop) -> None:
    await shop.ok("POST", "/channels/email/pause")
    await other_shop.type("news", ["email"])
    await other_shop.person("ada", email="ada@example.com")
    await other_shop.ended(await other_shop.send("news"), "DELIVERED")


async def test_what_a_suspended_tenant_has_queued_waits_until_it_is_resumed(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(3_600))
    database, operator = shop.engine.parts.database, Actor(name="test")
    async with database.transaction() as session:
        await tenants.suspend(session, await tenants.by_id(session, shop.tenant), "unpaid", operator)
    await eventually(lambda: shop.http.get("/providers"), lambda response: response.status_code == 403)
    await shop.due(id)
    held_back = "SELECT reason FROM event WHERE notification_id = :id AND kind = 'held'"
    async with database.transaction() as session:
        await eventually(lambda: session.execute(text(held_back), {"id": id}), lambda rows: rows.first() is not None)
    async with database.transaction() as session:
        await tenants.resume(session, await tenants.by_id(session, shop.tenant), operator)
    await eventually(lambda: shop.http.get("/providers"), lambda response: response.status_code == 200)
    shown = await shop.ended(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in shown["deliveries"][0]["attempts"]] == ["accepted"]
    [entry] = [entry for entry in shown["timeline"] if entry["kind"] == "held"]
    assert entry["reason"] == "tenant_suspended"


async def test_what_waits_can_be_cancelled(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("POST", "/channels/email/pause")
    id = await shop.send("news")
    await eventually(lambda: held(shop, id), bool)
    assert (await shop.cancel(id))["channels"] == {"email": "stopped"}
    assert (await shop.finished(id))["status"] == "CANCELED"


async def test_what_waits_too_long_expires(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("POST", "/channels/email/pause")
    id = await shop.send("news", expires_in="8s")
    await eventually(lambda: held(shop, id), bool)
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("EXPIRED", "email: expired")


async def test_a_hundred_wait_and_go_on_once_each_the_most_urgent_first(shop: Shop, engine: Engine) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("POST", "/channels/email/pause")
    priorities = [5, 3, 4, 1, 2] * 20
    item = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    answer = await shop.ok(
        "POST", "/notifications/send-batch", {"items": [{**item, "priority": p} for p in priorities]}
    )
    wanted = dict(zip([each["id"] for each in answer["items"]], priorities, strict=True))
    await eventually(partial(waiting, engine, shop), lambda seen: seen == 100)
    await shop.ok("POST", "/channels/email/resume")
    sent = await eventually(partial(in_order, engine, shop), lambda seen: len(seen) >= 100)
    assert sorted(sent) == sorted(wanted)
    # Released at 20 a second by priority; each then takes its own way, so neighbours may change places.
    places = [wanted[id] for id in sent]
    assert sum(abs(place - 1 - at // 20) > 1 for at, place in enumerate(places)) == 0
    assert places[:10] == [1] * 10
    assert places[-10:] == [5] * 10


async def waiting(engine: Engine, shop: Shop) -> int:
    statement = text("SELECT count(*) FROM delivery WHERE tenant = :tenant AND held_at IS NOT NULL")
    async with engine.parts.database.transaction() as session:
        return int((await session.execute(statement, {"tenant": shop.tenant})).scalar_one())


async def in_order(engine: Engine, shop: Shop) -> list[str]:
    """What the sandbox took, as it came."""
    took = text("SELECT notification_id::text FROM sandbox_message WHERE tenant = :tenant ORDER BY accepted_at, id")
    async with engine.parts.database.transaction() as session:
        return list((await session.execute(took, {"tenant": shop.tenant})).scalars())


async def test_an_unknown_provider_or_type_cannot_be_paused(shop: Shop) -> None:
    for path in ("/providers/nobody/pause", "/notification-types/nothing/pause"):
        assert (await shop.http.post(path)).status_code == 404
    assert (await shop.http.post("/channels/pigeon/pause")).status_code == 404


async def test_providers_say_how_they_are(shop: Shop) -> None:
    await shop.ok("POST", "/providers/sandbox/pause")
    items = {item["name"]: item for item in (await shop.ok("GET", "/providers"))["items"]}
    assert items["sandbox"]["paused"] is True
    assert items["in_app"]["paused"] is False
    nothing = dict.fromkeys(("reason", "since", "probe_at", "quiet_until"))
    assert items["sandbox"]["health"] == {"state": "closed", **nothing}
    assert items["sandbox"]["capabilities"]["lookup"] == "definitive"
    assert items["sandbox"]["weights"]["email"] == 100
