"""Where a notification goes and in which words: channels side by side, devices, languages, versions of templates."""

import pytest

from tests.engine import Shop, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PHONE = "+447700900123"


async def test_the_channels_of_a_step_go_out_together(shop: Shop) -> None:
    await shop.type("both", ["email", "sms"], ["push"])
    await shop.person("ada", email="ada@example.com", phone=PHONE)
    await shop.device("ada", "phone", "token-1")
    shown = await shop.ended(await shop.send("both"), "DELIVERED")
    shown = await eventually(
        lambda: shop.shown(shown["id"]), lambda shown: {d["status"] for d in shown["deliveries"]} == {"DELIVERED"}
    )
    assert {(d["channel"], d["step"]) for d in shown["deliveries"]} == {("email", 1), ("sms", 1)}
    assert {message["channel"] for message in await shop.outbox()} == {"email", "sms"}
    assert shown["finished_at"] is not None


async def test_a_step_got_through_when_one_of_its_channels_did(shop: Shop) -> None:
    await shop.type("both", ["email", "sms"], ["push"])
    await shop.person("ada", email="ada+refuse@example.com", phone=PHONE)
    await shop.device("ada", "phone", "token-1")
    shown = await shop.ended(await shop.send("both"), "DELIVERED")
    said = {d["channel"]: (d["status"], d["failure_reason"]) for d in shown["deliveries"]}
    assert said == {"email": ("FAILED", "refused_recipient"), "sms": ("DELIVERED", None)}
    assert shown["failure_reason"] is None


async def test_the_next_step_runs_when_every_channel_of_a_step_failed(shop: Shop) -> None:
    await shop.type("both", ["email", "sms"], ["push"])
    await shop.person("ada", email="ada+refuse@example.com", phone="+15550000001")
    await shop.device("ada", "phone", "token-1")
    shown = await shop.ended(await shop.send("both"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {
        "email": "FAILED",
        "sms": "FAILED",
        "push": "DELIVERED",
    }


async def test_when_no_channel_gets_through_every_one_says_why(shop: Shop) -> None:
    await shop.type("all", ["email"], ["sms"], ["push"])
    await shop.person("ada", email="ada+refuse@example.com", phone="+15550000007")
    shown = await shop.finished(await shop.send("all"))
    assert shown["status"] == "FAILED"
    assert shown["failure_reason"] == (
        "email: refused_recipient; sms: provider_failed: credentials_refused; push: no_address"
    )


async def test_a_push_is_sent_when_one_of_several_devices_took_it(shop: Shop) -> None:
    await shop.type("ping", ["push"])
    await shop.person("ada")
    await shop.device("ada", "old", "token-refuse-1")
    await shop.device("ada", "phone", "token-2")
    await shop.device("ada", "tablet", "token-3", kind="apns")
    shown = await shop.ended(await shop.send("ping"), "DELIVERED")
    [delivery] = shown["deliveries"]
    assert sorted(attempt["outcome"] for attempt in delivery["attempts"]) == ["accepted", "accepted", "refused"]
    assert len({attempt["endpoint_id"] for attempt in delivery["attempts"]}) == 3
    assert (delivery["status"], delivery["failure_reason"]) == ("DELIVERED", None)
    assert {message["address"]["token"] for message in await shop.outbox()} == {"token-2", "token-3"}


async def test_a_push_that_every_device_refuses_falls_through(shop: Shop) -> None:
    await shop.type("ping", ["push"], ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.device("ada", "old", "token-refuse-1")
    await shop.device("ada", "older", "token-refuse-2")
    shown = await shop.ended(await shop.send("ping"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"push": "FAILED", "email": "DELIVERED"}


async def test_in_app_writes_a_row_of_the_inbox(shop: Shop) -> None:
    await shop.type("note", ["in_app"])
    await shop.person("ada")
    id = await shop.send("note")
    shown = await shop.finished(id)
    [delivery] = shown["deliveries"]
    assert (shown["status"], delivery["provider"]) == ("SENT", "in_app")
    [item] = (await shop.ok("GET", "/inbox?recipient_id=ada"))["items"]
    assert (item["notification_id"], item["content"]) == (id, delivery["rendered_content"])
    assert [message["channel"] for message in await shop.outbox()] == ["in_app"]


async def test_a_webhook_goes_to_the_persons_url(shop: Shop) -> None:
    await shop.type("hook", ["webhook"])
    await shop.person("ada", webhook_url="https://hooks.example.com/ada")
    await shop.ended(await shop.send("hook"), "DELIVERED")
    [message] = await shop.outbox()
    assert message["address"] == {"url": "https://hooks.example.com/ada"}


async def test_only_the_channels_that_were_asked_for_are_used(shop: Shop) -> None:
    await shop.type("all", ["push"], ["sms"], ["email"])
    await shop.person("ada", email="ada@example.com", phone=PHONE)
    shown = await shop.ended(await shop.send("all", channels=["email"]), "DELIVERED")
    assert [d["channel"] for d in shown["deliveries"]] == ["email"]


async def test_a_person_given_inline_is_written_to_and_kept(shop: Shop) -> None:
    await shop.type("hello", ["email"])
    person = {"recipient_id": "grace", "email": "grace@example.com", "locale": "en"}
    shown = await shop.ended(await shop.send("hello", recipient=person), "DELIVERED")
    assert shown["recipient_id"] == "grace"
    assert (await shop.ok("GET", "/recipients/grace"))["email"] == "grace@example.com"


@pytest.mark.parametrize(
    ("locale", "said", "language"),
    [
        ("fr-BE", "Bonjour en belge", "fr-BE"),
        ("fr-CA", "Bonjour", "fr"),
        ("de-AT", "Hello", "en"),
        (None, "Hello", "en"),
    ],
)
async def test_words_come_in_the_nearest_language(shop: Shop, locale: str | None, said: str, language: str) -> None:
    await shop.type("hello", ["sms"])
    await shop.template("hello", "sms", "Hello")
    await shop.template("hello", "sms", "Bonjour", language="fr")
    await shop.template("hello", "sms", "Bonjour en belge", language="fr-BE")
    await shop.person("ada", phone=PHONE, **({"locale": locale} if locale else {}))
    [delivery] = (await shop.ended(await shop.send("hello"), "DELIVERED"))["deliveries"]
    assert (delivery["rendered_content"]["text"], delivery["language"]) == (said, language)


@pytest.mark.parametrize(("policy", "said", "version"), [("pinned", "old words", 1), ("latest", "new words", 2)])
async def test_the_policy_says_which_version_a_waiting_send_uses(
    shop: Shop, policy: str, said: str, version: int
) -> None:
    await shop.template("news", "sms", "old words")
    await shop.ok(
        "PUT",
        "/notification-types/news",
        {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}, "template_policy": policy},
    )
    await shop.person("ada", phone=PHONE)
    id = await shop.send("news", send_at=later(600))
    await shop.template("news", "sms", "new words")
    await shop.due(id)
    [delivery] = (await shop.until(id, "DELIVERED"))["deliveries"]
    assert (delivery["rendered_content"]["text"], delivery["template_version"]) == (said, version)


async def test_priority_and_tags_are_kept_and_the_types_priority_is_the_default(shop: Shop) -> None:
    await shop.type("code", ["sms"], priority=1)
    await shop.person("ada", phone=PHONE)
    plain, other = await shop.send("code"), await shop.send("code", priority=5, tags=["spring", "sale"])
    assert ((await shop.shown(plain))["priority"], (await shop.shown(plain))["tags"]) == (1, [])
    assert ((await shop.shown(other))["priority"], (await shop.shown(other))["tags"]) == (5, ["spring", "sale"])


async def test_a_person_who_was_erased_while_it_waited_gets_nothing(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(600))
    await shop.ok("DELETE", "/recipients/ada")
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("CANCELED", "canceled")
    assert await shop.outbox() == []
