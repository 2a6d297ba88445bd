"""One notification end to end, as a customer of the API sees it."""

import pytest

from tests.engine import Shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
NEWS = {"notification_type": "news", "payload": {"name": "Ada"}}


async def test_a_send_is_delivered_and_its_record_tells_the_whole_story(shop: Shop) -> None:
    await shop.type("welcome", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("welcome")
    shown = await shop.until(id, "DELIVERED")
    [delivery] = shown["deliveries"]
    [attempt] = delivery["attempts"]
    assert [entry["kind"] for entry in shown["timeline"]] == ["accepted", "rendered", "sent", "delivered"]
    assert (delivery["status"], delivery["provider"], delivery["language"]) == ("DELIVERED", "sandbox", "en")
    assert delivery["rendered_content"]["subject"] == "Hi Ada"
    assert (attempt["outcome"], attempt["endpoint_id"]) == ("accepted", "email")
    assert shown["finished_at"] is not None
    [message] = await shop.outbox(recipient_id="ada")
    assert message["address"] == {"email": "ada@example.com"}


async def test_a_refused_push_falls_back_to_sms(shop: Shop) -> None:
    await shop.type("shipped", ["push"], ["sms"], ["email"])
    await shop.person("ada", email="ada@example.com", phone="+447700900123")
    await shop.ok("PUT", "/recipients/ada/devices/phone", {"kind": "fcm", "token": "token-refuse-1"})
    shown = await shop.until(await shop.send("shipped"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"push": "FAILED", "sms": "DELIVERED"}
    assert [message["channel"] for message in await shop.outbox()] == ["sms"]


async def test_opted_out_of_push_and_sms_the_email_goes_out(shop: Shop) -> None:
    await shop.type("shipped", ["push"], ["sms"], ["email"])
    await shop.person("ada", email="ada@example.com", phone="+447700900123")
    await shop.ok("PUT", "/recipients/ada/devices/phone", {"kind": "fcm", "token": "token-1"})
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"push": False, "sms": False}})
    shown = await shop.until(await shop.send("shipped"), "DELIVERED")
    said = {d["channel"]: (d["status"], d["failure_reason"]) for d in shown["deliveries"]}
    assert said == {
        "push": ("SKIPPED", "opted_out (global_channel_opt_in.push)"),
        "sms": ("SKIPPED", "opted_out (global_channel_opt_in.sms)"),
        "email": ("DELIVERED", None),
    }


async def test_opted_out_of_everything_it_is_suppressed_and_names_the_rule(shop: Shop) -> None:
    await shop.type("news", ["sms"], ["email"], category="MARKETING")
    await shop.person("ada", email="ada@example.com", phone="+447700900123")
    preferences = {"type_channel_preferences": {"MARKETING": {"email": False}}, "global_channel_opt_in": {"sms": False}}
    await shop.ok("PUT", "/recipients/ada/preferences", preferences)
    shown = await shop.finished(await shop.send("news"))
    assert shown["status"] == "SUPPRESSED"
    assert "sms: opted_out (global_channel_opt_in.sms)" in shown["failure_reason"]
    assert "email: opted_out (type_channel_preferences.MARKETING.email)" in shown["failure_reason"]
    assert await shop.outbox() == []


async def test_one_send_to_a_topic_reaches_each_subscriber_by_their_own_preferences(shop: Shop) -> None:
    await shop.type("news", ["email"])
    for person in ("ada", "bob", "eve"):
        await shop.person(person, email=f"{person}@example.com")
        await shop.ok("PUT", f"/topics/lamps/subscribers/{person}")
    await shop.ok("PUT", "/recipients/bob/preferences", {"global_channel_opt_in": {"email": False}})
    await shop.ok("DELETE", "/topics/lamps/subscribers/eve")
    to_topic = await shop.ok("POST", "/notifications/send", {**NEWS, "topic": "lamps"})
    entries = [{"recipient_id": "ada", "payload": {"name": "Lady"}}, {"recipient_id": "eve"}]
    to_list = await shop.ok("POST", "/notifications/send", {**NEWS, "recipients": entries})
    ended = [
        await shop.ended(item["id"], "DELIVERED", "SUPPRESSED") for item in (*to_topic["items"], *to_list["items"])
    ]
    assert [(one["recipient_id"], one["status"]) for one in ended] == [
        ("ada", "DELIVERED"),
        ("bob", "SUPPRESSED"),
        ("ada", "DELIVERED"),
        ("eve", "DELIVERED"),
    ]
    sent = {(message["recipient_id"], message["content"]["subject"]) for message in await shop.outbox()}
    assert sent == {("ada", "Hi Ada"), ("ada", "Hi Lady"), ("eve", "Hi Ada")}
