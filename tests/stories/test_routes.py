"""Check routes and content: parallel channels, devices, languages and template versions."""

import pytest

from tests.api_tenants import ApiTenant
from tests.engine import later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PHONE = "+447700900123"


async def test_the_channels_of_a_step_are_sent_together(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    await api_tenant.put_device("ada", "phone", "token-1")
    id = await api_tenant.send("both")
    await api_tenant.wait_for_end(id, "DELIVERED")
    notification = await eventually(
        lambda: api_tenant.notification(id),
        lambda found: {d["status"] for d in found["deliveries"]} == {"DELIVERED"},
    )
    assert {(d["channel"], d["step"]) for d in notification["deliveries"]} == {("email", 1), ("sms", 1)}
    assert {message["channel"] for message in await api_tenant.list_outbox()} == {"email", "sms"}
    assert notification["finished_at"] is not None


async def test_a_step_succeeds_when_one_of_its_channels_succeeds(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone=PHONE)
    await api_tenant.put_device("ada", "phone", "token-1")
    notification = await api_tenant.wait_for_end(await api_tenant.send("both"), "DELIVERED")
    results = {d["channel"]: (d["status"], d["failure_reason"]) for d in notification["deliveries"]}
    assert results == {"email": ("FAILED", "refused_recipient"), "sms": ("DELIVERED", None)}
    assert notification["failure_reason"] is None


async def test_the_next_step_runs_when_every_channel_of_a_step_failed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000001")
    await api_tenant.put_device("ada", "phone", "token-1")
    notification = await api_tenant.wait_for_end(await api_tenant.send("both"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in notification["deliveries"]} == {
        "email": "FAILED",
        "sms": "FAILED",
        "push": "DELIVERED",
    }


async def test_every_failed_channel_has_a_reason(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("all", ["email"], ["sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000007")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("all"))
    assert notification["status"] == "FAILED"
    assert notification["failure_reason"] == (
        "email: refused_recipient; sms: provider_failed: credentials_refused; push: no_address"
    )


async def test_a_push_is_delivered_when_one_of_several_devices_accepts_it(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("ping", ["push"])
    await api_tenant.put_recipient("ada")
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "phone", "token-2")
    await api_tenant.put_device("ada", "tablet", "token-3", kind="apns")
    notification = await api_tenant.wait_for_end(await api_tenant.send("ping"), "DELIVERED")
    [delivery] = notification["deliveries"]
    assert sorted(attempt["outcome"] for attempt in delivery["attempts"]) == ["accepted", "accepted", "refused"]
    assert len({attempt["endpoint_id"] for attempt in delivery["attempts"]}) == 3
    assert (delivery["status"], delivery["failure_reason"]) == ("DELIVERED", None)
    assert {message["address"]["token"] for message in await api_tenant.list_outbox()} == {"token-2", "token-3"}


async def test_a_push_that_every_device_refuses_falls_through(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("ping", ["push"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "older", "token-refuse-2")
    notification = await api_tenant.wait_for_end(await api_tenant.send("ping"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in notification["deliveries"]} == {"push": "FAILED", "email": "DELIVERED"}


async def test_a_webhook_is_sent_to_the_recipients_url(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("hook", ["webhook"])
    await api_tenant.put_recipient("ada", webhook_url="https://hooks.example.com/ada")
    await api_tenant.wait_for_end(await api_tenant.send("hook"), "DELIVERED")
    [message] = await api_tenant.list_outbox()
    assert message["address"] == {"url": "https://hooks.example.com/ada"}


async def test_content_is_rendered_in_the_nearest_language(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("hello", ["sms"])
    await api_tenant.add_template("hello", "sms", "Hello")
    await api_tenant.add_template("hello", "sms", "Bonjour", language="fr")
    await api_tenant.add_template("hello", "sms", "Bonjour en belge", language="fr-BE")
    await api_tenant.put_recipient("ada", phone=PHONE, locale="fr-CA")
    [delivery] = (await api_tenant.wait_for_end(await api_tenant.send("hello"), "DELIVERED"))["deliveries"]
    assert (delivery["rendered_content"]["text"], delivery["language"]) == ("Bonjour", "fr")


@pytest.mark.parametrize(("policy", "text", "version"), [("pinned", "old text", 1), ("latest", "new text", 2)])
async def test_the_policy_decides_the_version_of_a_waiting_send(
    api_tenant: ApiTenant, policy: str, text: str, version: int
) -> None:
    await api_tenant.add_template("news", "sms", "old text")
    await api_tenant.call(
        "PUT",
        "/notification-types/news",
        {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}, "template_policy": policy},
    )
    await api_tenant.put_recipient("ada", phone=PHONE)
    id = await api_tenant.send("news", send_at=later(600))
    await api_tenant.add_template("news", "sms", "new text")
    await api_tenant.make_due(id)
    [delivery] = (await api_tenant.wait_for_status(id, "DELIVERED"))["deliveries"]
    assert (delivery["rendered_content"]["text"], delivery["template_version"]) == (text, version)


async def test_a_recipient_erased_during_a_wait_gets_no_message(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(600))
    await api_tenant.call("DELETE", "/recipients/ada")
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"]) == ("CANCELED", "canceled")
    assert await api_tenant.list_outbox() == []
