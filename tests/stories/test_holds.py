"""Pausing a provider, a channel or a type: nothing is lost or goes out twice, and the most urgent goes on first."""

from datetime import datetime
from functools import partial

import pytest
from sqlalchemy import text

from domain.audit import Actor
from storage import tenants
from tests.engine import ApiTenant, Engine, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def held(api_tenant: ApiTenant, id: str) -> bool:
    return "held" in [entry["kind"] for entry in (await api_tenant.notification(id))["timeline"]]


@pytest.mark.parametrize("what", ["channels/email", "providers/sandbox", "notification-types/news"])
async def test_a_paused_send_waits_and_resumes(api_tenant: ApiTenant, what: str) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", f"/{what}/pause", {"reason": "a bad day"})
    id = await api_tenant.send("news")
    await eventually(lambda: held(api_tenant, id), bool)
    assert await api_tenant.list_outbox() == []
    kind, _, name = what.replace("-", "_").partition("/")
    [pause] = (await api_tenant.call("GET", "/pauses"))["items"]
    assert [pause[key] for key in ("kind", "name", "by", "reason")] == [kind[:-1], name, "test", "a bad day"]
    await eventually(lambda: api_tenant.call("GET", "/pauses"), lambda page: page["items"][0]["waiting"] == 1)
    now = (await api_tenant.call("GET", f"/notifications/{id}/explain"))["lines"][-1]["text"]
    since = datetime.fromisoformat(pause["since"]).isoformat(timespec="seconds").replace("+00:00", "Z")
    assert f"{name} is paused since {since} by test: a bad day" in now
    shown = await api_tenant.notification(id)
    assert (shown["waits_for"], shown["deliveries"][0]["waits_for"]) == ("paused", "paused")
    assert await api_tenant.call("POST", f"/{what}/resume") == {"paused": False}
    assert (await api_tenant.call("GET", "/pauses"))["items"] == []
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in shown["deliveries"][0]["attempts"]] == ["accepted"]
    [told] = [entry for entry in shown["timeline"] if entry["kind"] == "held"]
    assert told["reason"] == f"paused ({kind[:-1].removeprefix('notification_')} {name})"


async def test_other_channels_of_the_same_notification_do_not_wait(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email", "sms"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news")
    await eventually(lambda: held(api_tenant, id), bool)
    await api_tenant.wait_for_status(id, "DELIVERED")
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["sms"]
    await api_tenant.call("POST", "/channels/email/resume")
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert len(shown["deliveries"]) == 2


async def test_a_pause_of_one_tenant_is_not_anothers(api_tenant: ApiTenant, other_api_tenant: ApiTenant) -> None:
    await api_tenant.call("POST", "/channels/email/pause")
    await other_api_tenant.put_type("news", ["email"])
    await other_api_tenant.put_recipient("ada", email="ada@example.com")
    await other_api_tenant.wait_for_end(await other_api_tenant.send("news"), "DELIVERED")


async def test_queued_sends_of_a_suspended_tenant_wait_until_it_is_resumed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(3_600))
    database, operator = api_tenant.engine.container.database, Actor(name="test")
    async with database.transaction() as session:
        await tenants.suspend(session, await tenants.find_by_id(session, api_tenant.tenant), "unpaid", operator)
    await eventually(lambda: api_tenant.http.get("/providers"), lambda response: response.status_code == 403)
    await api_tenant.make_due(id)
    held_back = "SELECT reason FROM event WHERE notification_id = :id AND kind = 'held'"
    async with database.transaction() as session:
        await eventually(lambda: session.execute(text(held_back), {"id": id}), lambda rows: rows.first() is not None)
    async with database.transaction() as session:
        await tenants.resume(session, await tenants.find_by_id(session, api_tenant.tenant), operator)
    await eventually(lambda: api_tenant.http.get("/providers"), lambda response: response.status_code == 200)
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in shown["deliveries"][0]["attempts"]] == ["accepted"]
    [entry] = [entry for entry in shown["timeline"] if entry["kind"] == "held"]
    assert entry["reason"] == "tenant_suspended"


async def test_a_held_send_can_be_canceled(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news")
    await eventually(lambda: held(api_tenant, id), bool)
    assert (await api_tenant.cancel(id))["channels"] == {"email": "stopped"}
    assert (await api_tenant.wait_until_finished(id))["status"] == "CANCELED"


async def test_a_held_send_expires(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news", expires_in="8s")
    await eventually(lambda: held(api_tenant, id), bool)
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("EXPIRED", "email: expired")


async def test_a_hundred_held_sends_resume_once_each_most_urgent_first(api_tenant: ApiTenant, engine: Engine) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    priorities = [5, 3, 4, 1, 2] * 20
    item = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    answer = await api_tenant.call(
        "POST", "/notifications/send-batch", {"items": [{**item, "priority": p} for p in priorities]}
    )
    wanted = dict(zip([each["id"] for each in answer["items"]], priorities, strict=True))
    await eventually(partial(waiting, engine, api_tenant), lambda seen: seen == 100)
    await api_tenant.call("POST", "/channels/email/resume")
    sent = await eventually(partial(in_order, engine, api_tenant), lambda seen: len(seen) >= 100)
    assert sorted(sent) == sorted(wanted)
    # Released at 20 a second by priority; each then takes its own way, so neighbours may change places.
    places = [wanted[id] for id in sent]
    assert sum(abs(place - 1 - at // 20) > 1 for at, place in enumerate(places)) == 0
    assert places[:10] == [1] * 10
    assert places[-10:] == [5] * 10


async def waiting(engine: Engine, api_tenant: ApiTenant) -> int:
    statement = text("SELECT count(*) FROM delivery WHERE tenant = :tenant AND held_at IS NOT NULL")
    async with engine.container.database.transaction() as session:
        return int((await session.execute(statement, {"tenant": api_tenant.tenant})).scalar_one())


async def in_order(engine: Engine, api_tenant: ApiTenant) -> list[str]:
    """What the sandbox took, as it came."""
    took = text("SELECT notification_id::text FROM sandbox_message WHERE tenant = :tenant ORDER BY accepted_at, id")
    async with engine.container.database.transaction() as session:
        return list((await session.execute(took, {"tenant": api_tenant.tenant})).scalars())


async def test_an_unknown_provider_or_type_cannot_be_paused(api_tenant: ApiTenant) -> None:
    for path in ("/providers/nobody/pause", "/notification-types/nothing/pause"):
        assert (await api_tenant.http.post(path)).status_code == 404
    assert (await api_tenant.http.post("/channels/pigeon/pause")).status_code == 404


async def test_providers_report_their_health(api_tenant: ApiTenant) -> None:
    await api_tenant.call("POST", "/providers/sandbox/pause")
    items = {item["name"]: item for item in (await api_tenant.call("GET", "/providers"))["items"]}
    assert items["sandbox"]["paused"] is True
    assert items["in_app"]["paused"] is False
    nothing = dict.fromkeys(("reason", "since", "probe_at", "throttled_until"))
    assert items["sandbox"]["health"] == {"state": "closed", **nothing}
    assert items["sandbox"]["capabilities"]["lookup"] == "definitive"
    assert items["sandbox"]["weights"]["email"] == 100
