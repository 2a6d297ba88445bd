"""Send notifications end to end through the API."""

import pytest

from tests.api_tenants import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
NEWS = {"notification_type": "news", "payload": {"name": "Ada"}}


async def test_a_send_is_delivered_and_its_record_shows_every_step(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("welcome", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("welcome")
    notification = await api_tenant.wait_for_status(id, "DELIVERED")
    [delivery] = notification["deliveries"]
    [attempt] = delivery["attempts"]
    assert [entry["kind"] for entry in notification["timeline"]] == ["accepted", "rendered", "sent", "delivered"]
    assert (delivery["status"], delivery["provider"], delivery["language"]) == ("DELIVERED", "sandbox", "en")
    assert delivery["rendered_content"]["subject"] == "Hi Ada"
    assert (attempt["outcome"], attempt["endpoint_id"]) == ("accepted", "email")
    assert notification["finished_at"] is not None
    [message] = await api_tenant.list_outbox(recipient_id="ada")
    assert message["address"] == {"email": "ada@example.com"}


async def test_a_refused_push_falls_back_to_sms(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("shipped", ["push"], ["sms"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.call("PUT", "/recipients/ada/devices/phone", {"kind": "fcm", "token": "token-refuse-1"})
    notification = await api_tenant.wait_for_status(await api_tenant.send("shipped"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in notification["deliveries"]} == {"push": "FAILED", "sms": "DELIVERED"}
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["sms"]


async def test_an_sms_has_plain_quotes_and_its_segments_are_shown(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["sms"], sms={"fold_typography": True})
    await api_tenant.add_template("code", "sms", "{{ name }}\u2019s code" + "." * 160)
    await api_tenant.put_recipient("ada", phone="+447700900123")
    id = await api_tenant.send("code")
    [delivery] = (await api_tenant.wait_for_status(id, "DELIVERED"))["deliveries"]
    text = "Ada's code" + "." * 160
    assert (delivery["rendered_content"], delivery["sms"]) == ({"text": text}, {"encoding": "gsm7", "segments": 2})
    assert [message["content"]["text"] for message in await api_tenant.list_outbox()] == [text]
    lines = [line["text"] for line in (await api_tenant.call("GET", f"/notifications/{id}/explain"))["lines"]]
    assert any(line.endswith("Rendered from code, version 2, in en: 2 segments in gsm7.") for line in lines)
    await api_tenant.engine.sql("UPDATE delivery SET rendered_content = NULL WHERE notification_id = :id", id=id)
    assert (await api_tenant.notification(id))["deliveries"][0]["sms"] is None


async def test_a_too_long_sms_falls_back_to_email(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["sms"], ["email"])
    await api_tenant.add_template("news", "sms", "{{ name * 600 }}")
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    notification = await api_tenant.wait_for_status(await api_tenant.send("news"), "DELIVERED")
    results = {d["channel"]: (d["status"], d["failure_reason"], d["sms"]) for d in notification["deliveries"]}
    assert results == {"sms": ("FAILED", "sms_too_long (12 segments)", None), "email": ("DELIVERED", None, None)}
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["email"]


async def test_an_opt_out_of_push_and_sms_falls_back_to_email(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("shipped", ["push"], ["sms"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.call("PUT", "/recipients/ada/devices/phone", {"kind": "fcm", "token": "token-1"})
    await api_tenant.call(
        "PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"push": False, "sms": False}}
    )
    notification = await api_tenant.wait_for_status(await api_tenant.send("shipped"), "DELIVERED")
    results = {d["channel"]: (d["status"], d["failure_reason"]) for d in notification["deliveries"]}
    assert results == {
        "push": ("SKIPPED", "opted_out (global_channel_opt_in.push)"),
        "sms": ("SKIPPED", "opted_out (global_channel_opt_in.sms)"),
        "email": ("DELIVERED", None),
    }


async def test_an_opt_out_of_all_channels_suppresses_and_names_the_rules(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["sms"], ["email"], category="MARKETING")
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    preferences = {"type_channel_preferences": {"MARKETING": {"email": False}}, "global_channel_opt_in": {"sms": False}}
    await api_tenant.call("PUT", "/recipients/ada/preferences", preferences)
    notification = await api_tenant.wait_until_finished(await api_tenant.send("news"))
    assert notification["status"] == "SUPPRESSED"
    assert "sms: opted_out (global_channel_opt_in.sms)" in notification["failure_reason"]
    assert "email: opted_out (type_channel_preferences.MARKETING.email)" in notification["failure_reason"]
    assert await api_tenant.list_outbox() == []


async def test_a_send_to_a_topic_follows_the_preferences_of_each_subscriber(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    for recipient_id in ("ada", "bob", "eve"):
        await api_tenant.put_recipient(recipient_id, email=f"{recipient_id}@example.com")
        await api_tenant.call("PUT", f"/topics/lamps/subscribers/{recipient_id}")
    await api_tenant.call("PUT", "/recipients/bob/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.call("DELETE", "/topics/lamps/subscribers/eve")
    to_topic = await api_tenant.call("POST", "/notifications/send", {**NEWS, "topic": "lamps"})
    entries = [{"recipient_id": "ada", "payload": {"name": "Lady"}}, {"recipient_id": "eve"}]
    to_list = await api_tenant.call("POST", "/notifications/send", {**NEWS, "recipients": entries})
    finished = [
        await api_tenant.wait_for_end(item["id"], "DELIVERED", "SUPPRESSED")
        for item in (*to_topic["items"], *to_list["items"])
    ]
    assert [(one["recipient_id"], one["status"]) for one in finished] == [
        ("ada", "DELIVERED"),
        ("bob", "SUPPRESSED"),
        ("ada", "DELIVERED"),
        ("eve", "DELIVERED"),
    ]
    sent = {(message["recipient_id"], message["content"]["subject"]) for message in await api_tenant.list_outbox()}
    assert sent == {("ada", "Hi Ada"), ("ada", "Hi Lady"), ("eve", "Hi Ada")}
