"""One notification end to end, as a customer of the API sees it."""

import pytest

from tests.engine import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
NEWS = {"notification_type": "news", "payload": {"name": "Ada"}}


async def test_a_send_is_delivered_and_its_record_shows_every_step(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("welcome", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("welcome")
    shown = await api_tenant.wait_for_status(id, "DELIVERED")
    [delivery] = shown["deliveries"]
    [attempt] = delivery["attempts"]
    assert [entry["kind"] for entry in shown["timeline"]] == ["accepted", "rendered", "sent", "delivered"]
    assert (delivery["status"], delivery["provider"], delivery["language"]) == ("DELIVERED", "sandbox", "en")
    assert delivery["rendered_content"]["subject"] == "Hi Ada"
    assert (attempt["outcome"], attempt["endpoint_id"]) == ("accepted", "email")
    assert shown["finished_at"] is not None
    [message] = await api_tenant.list_outbox(recipient_id="ada")
    assert message["address"] == {"email": "ada@example.com"}


async def test_a_refused_push_falls_back_to_sms(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("shipped", ["push"], ["sms"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.call("PUT", "/recipients/ada/devices/phone", {"kind": "fcm", "token": "token-refuse-1"})
    shown = await api_tenant.wait_for_status(await api_tenant.send("shipped"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"push": "FAILED", "sms": "DELIVERED"}
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["sms"]


async def test_opted_out_of_push_and_sms_the_email_goes_out(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("shipped", ["push"], ["sms"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.call("PUT", "/recipients/ada/devices/phone", {"kind": "fcm", "token": "token-1"})
    await api_tenant.call(
        "PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"push": False, "sms": False}}
    )
    shown = await api_tenant.wait_for_status(await api_tenant.send("shipped"), "DELIVERED")
    said = {d["channel"]: (d["status"], d["failure_reason"]) for d in shown["deliveries"]}
    assert said == {
        "push": ("SKIPPED", "opted_out (global_channel_opt_in.push)"),
        "sms": ("SKIPPED", "opted_out (global_channel_opt_in.sms)"),
        "email": ("DELIVERED", None),
    }


async def test_opted_out_of_everything_it_is_suppressed_and_names_the_rule(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["sms"], ["email"], category="MARKETING")
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    preferences = {"type_channel_preferences": {"MARKETING": {"email": False}}, "global_channel_opt_in": {"sms": False}}
    await api_tenant.call("PUT", "/recipients/ada/preferences", preferences)
    shown = await api_tenant.wait_until_finished(await api_tenant.send("news"))
    assert shown["status"] == "SUPPRESSED"
    assert "sms: opted_out (global_channel_opt_in.sms)" in shown["failure_reason"]
    assert "email: opted_out (type_channel_preferences.MARKETING.email)" in shown["failure_reason"]
    assert await api_tenant.list_outbox() == []


async def test_one_send_to_a_topic_reaches_each_subscriber_by_their_own_preferences(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    for person in ("ada", "bob", "eve"):
        await api_tenant.put_recipient(person, email=f"{person}@example.com")
        await api_tenant.call("PUT", f"/topics/lamps/subscribers/{person}")
    await api_tenant.call("PUT", "/recipients/bob/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.call("DELETE", "/topics/lamps/subscribers/eve")
    to_topic = await api_tenant.call("POST", "/notifications/send", {**NEWS, "topic": "lamps"})
    entries = [{"recipient_id": "ada", "payload": {"name": "Lady"}}, {"recipient_id": "eve"}]
    to_list = await api_tenant.call("POST", "/notifications/send", {**NEWS, "recipients": entries})
    ended = [
        await api_tenant.wait_for_end(item["id"], "DELIVERED", "SUPPRESSED")
        for item in (*to_topic["items"], *to_list["items"])
    ]
    assert [(one["recipient_id"], one["status"]) for one in ended] == [
        ("ada", "DELIVERED"),
        ("bob", "SUPPRESSED"),
        ("ada", "DELIVERED"),
        ("eve", "DELIVERED"),
    ]
    sent = {(message["recipient_id"], message["content"]["subject"]) for message in await api_tenant.list_outbox()}
    assert sent == {("ada", "Hi Ada"), ("ada", "Hi Lady"), ("eve", "Hi Ada")}
