"""Check pauses of a provider, a channel or a type: each send resumes exactly once, the most urgent first."""

from datetime import datetime
from functools import partial

import pytest
from sqlalchemy import text

from domain.audit import Actor
from storage import tenants
from tests.api_tenants import ApiTenant
from tests.engine import Engine, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def is_held(api_tenant: ApiTenant, id: str) -> bool:
    return "held" in [entry["kind"] for entry in (await api_tenant.notification(id))["timeline"]]


@pytest.mark.parametrize("paused_path", ["channels/email", "providers/sandbox", "notification-types/news"])
async def test_a_paused_send_waits_and_resumes(api_tenant: ApiTenant, paused_path: str) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", f"/{paused_path}/pause", {"reason": "an outage"})
    id = await api_tenant.send("news")
    await eventually(lambda: is_held(api_tenant, id), bool)
    assert await api_tenant.list_outbox() == []
    collection, _, name = paused_path.replace("-", "_").partition("/")
    [pause] = (await api_tenant.call("GET", "/pauses"))["items"]
    assert [pause[key] for key in ("kind", "name", "by", "reason")] == [collection[:-1], name, "test", "an outage"]
    await eventually(lambda: api_tenant.call("GET", "/pauses"), lambda page: page["items"][0]["waiting"] == 1)
    last_line = (await api_tenant.call("GET", f"/notifications/{id}/explain"))["lines"][-1]["text"]
    since = datetime.fromisoformat(pause["since"]).isoformat(timespec="seconds").replace("+00:00", "Z")
    assert f"{name} is paused since {since} by test: an outage" in last_line
    notification = await api_tenant.notification(id)
    assert (notification["waits_for"], notification["deliveries"][0]["waits_for"]) == ("paused", "paused")
    assert await api_tenant.call("POST", f"/{paused_path}/resume") == {"paused": False}
    assert (await api_tenant.call("GET", "/pauses"))["items"] == []
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in notification["deliveries"][0]["attempts"]] == ["accepted"]
    [entry] = [entry for entry in notification["timeline"] if entry["kind"] == "held"]
    assert entry["reason"] == f"paused ({collection[:-1].removeprefix('notification_')} {name})"


async def test_other_channels_of_the_same_notification_do_not_wait(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email", "sms"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news")
    await eventually(lambda: is_held(api_tenant, id), bool)
    await api_tenant.wait_for_status(id, "DELIVERED")
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["sms"]
    await api_tenant.call("POST", "/channels/email/resume")
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert len(notification["deliveries"]) == 2


async def test_queued_sends_of_a_suspended_tenant_wait_until_it_is_resumed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(3_600))
    database, operator = api_tenant.engine.container.database, Actor(name="test")
    async with database.transaction() as session:
        await tenants.suspend(session, await tenants.find_by_id(session, api_tenant.tenant), "unpaid", operator)
    await eventually(lambda: api_tenant.http.get("/providers"), lambda response: response.status_code == 403)
    await api_tenant.make_due(id)
    select_held = "SELECT reason FROM event WHERE notification_id = :id AND kind = 'held'"
    async with database.transaction() as session:
        await eventually(lambda: session.execute(text(select_held), {"id": id}), lambda rows: rows.first() is not None)
    async with database.transaction() as session:
        await tenants.resume(session, await tenants.find_by_id(session, api_tenant.tenant), operator)
    await eventually(lambda: api_tenant.http.get("/providers"), lambda response: response.status_code == 200)
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in notification["deliveries"][0]["attempts"]] == ["accepted"]
    [entry] = [entry for entry in notification["timeline"] if entry["kind"] == "held"]
    assert entry["reason"] == "tenant_suspended"


async def test_a_held_send_can_be_canceled(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news")
    await eventually(lambda: is_held(api_tenant, id), bool)
    assert (await api_tenant.cancel(id))["channels"] == {"email": "stopped"}
    assert (await api_tenant.wait_until_finished(id))["status"] == "CANCELED"


async def test_held_sends_resume_once_in_order_of_priority(api_tenant: ApiTenant, engine: Engine) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    priorities = [5, 3, 4, 1, 2] * 12
    item = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    response = await api_tenant.call(
        "POST", "/notifications/send-batch", {"items": [{**item, "priority": p} for p in priorities]}
    )
    priority_of = dict(zip([each["id"] for each in response["items"]], priorities, strict=True))
    await eventually(partial(count_held, engine, api_tenant), lambda count: count == len(priorities))
    await api_tenant.call("POST", "/channels/email/resume")
    sent = await eventually(partial(list_accepted, engine, api_tenant), lambda ids: len(ids) >= len(priorities))
    assert sorted(sent) == sorted(priority_of)
    # They are released at 20 a second by priority. Each is then sent on its own, so neighbors may change places.
    priorities_sent = [priority_of[id] for id in sent]
    assert sum(abs(place - 1 - at // 12) > 1 for at, place in enumerate(priorities_sent)) == 0
    assert priorities_sent[:6] == [1] * 6
    assert priorities_sent[-6:] == [5] * 6


async def count_held(engine: Engine, api_tenant: ApiTenant) -> int:
    statement = text("SELECT count(*) FROM delivery WHERE tenant = :tenant AND held_at IS NOT NULL")
    async with engine.container.database.transaction() as session:
        return int((await session.execute(statement, {"tenant": api_tenant.tenant})).scalar_one())


async def list_accepted(engine: Engine, api_tenant: ApiTenant) -> list[str]:
    """Return the ids of the notifications that the sandbox accepted, in order."""
    statement = text(
        "SELECT notification_id::text FROM sandbox_message WHERE tenant = :tenant ORDER BY accepted_at, id"
    )
    async with engine.container.database.transaction() as session:
        return list((await session.execute(statement, {"tenant": api_tenant.tenant})).scalars())


async def test_providers_report_their_health(api_tenant: ApiTenant) -> None:
    await api_tenant.call("POST", "/providers/sandbox/pause")
    items = {item["name"]: item for item in (await api_tenant.call("GET", "/providers"))["items"]}
    assert items["sandbox"]["paused"] is True
    assert items["in_app"]["paused"] is False
    no_details = dict.fromkeys(("reason", "since", "probe_at", "throttled_until"))
    assert items["sandbox"]["health"] == {"state": "closed", **no_details}
    assert items["sandbox"]["capabilities"]["lookup"] == "definitive"
    assert items["sandbox"]["weights"]["email"] == 100
