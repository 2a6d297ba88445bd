"""Where a notification goes and in which words: channels side by side, devices, languages, versions of templates."""

import pytest

from tests.engine import ApiTenant, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PHONE = "+447700900123"


async def test_the_channels_of_a_step_go_out_together(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    await api_tenant.put_device("ada", "phone", "token-1")
    shown = await api_tenant.wait_for_end(await api_tenant.send("both"), "DELIVERED")
    shown = await eventually(
        lambda: api_tenant.notification(shown["id"]),
        lambda shown: {d["status"] for d in shown["deliveries"]} == {"DELIVERED"},
    )
    assert {(d["channel"], d["step"]) for d in shown["deliveries"]} == {("email", 1), ("sms", 1)}
    assert {message["channel"] for message in await api_tenant.list_outbox()} == {"email", "sms"}
    assert shown["finished_at"] is not None


async def test_a_step_got_through_when_one_of_its_channels_did(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone=PHONE)
    await api_tenant.put_device("ada", "phone", "token-1")
    shown = await api_tenant.wait_for_end(await api_tenant.send("both"), "DELIVERED")
    said = {d["channel"]: (d["status"], d["failure_reason"]) for d in shown["deliveries"]}
    assert said == {"email": ("FAILED", "refused_recipient"), "sms": ("DELIVERED", None)}
    assert shown["failure_reason"] is None


async def test_the_next_step_runs_when_every_channel_of_a_step_failed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000001")
    await api_tenant.put_device("ada", "phone", "token-1")
    shown = await api_tenant.wait_for_end(await api_tenant.send("both"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {
        "email": "FAILED",
        "sms": "FAILED",
        "push": "DELIVERED",
    }


async def test_every_failed_channel_has_a_reason(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("all", ["email"], ["sms"], ["push"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000007")
    shown = await api_tenant.wait_until_finished(await api_tenant.send("all"))
    assert shown["status"] == "FAILED"
    assert shown["failure_reason"] == (
        "email: refused_recipient; sms: provider_failed: credentials_refused; push: no_address"
    )


async def test_a_push_is_sent_when_one_of_several_devices_took_it(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("ping", ["push"])
    await api_tenant.put_recipient("ada")
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "phone", "token-2")
    await api_tenant.put_device("ada", "tablet", "token-3", kind="apns")
    shown = await api_tenant.wait_for_end(await api_tenant.send("ping"), "DELIVERED")
    [delivery] = shown["deliveries"]
    assert sorted(attempt["outcome"] for attempt in delivery["attempts"]) == ["accepted", "accepted", "refused"]
    assert len({attempt["endpoint_id"] for attempt in delivery["attempts"]}) == 3
    assert (delivery["status"], delivery["failure_reason"]) == ("DELIVERED", None)
    assert {message["address"]["token"] for message in await api_tenant.list_outbox()} == {"token-2", "token-3"}


async def test_a_push_that_every_device_refuses_falls_through(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("ping", ["push"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "older", "token-refuse-2")
    shown = await api_tenant.wait_for_end(await api_tenant.send("ping"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"push": "FAILED", "email": "DELIVERED"}


async def test_in_app_writes_a_row_of_the_inbox(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("note", ["in_app"])
    await api_tenant.put_recipient("ada")
    id = await api_tenant.send("note")
    shown = await api_tenant.wait_until_finished(id)
    [delivery] = shown["deliveries"]
    assert (shown["status"], delivery["provider"]) == ("SENT", "in_app")
    [item] = (await api_tenant.call("GET", "/inbox?recipient_id=ada"))["items"]
    assert (item["notification_id"], item["content"]) == (id, delivery["rendered_content"])
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["in_app"]


async def test_a_webhook_goes_to_the_persons_url(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("hook", ["webhook"])
    await api_tenant.put_recipient("ada", webhook_url="https://hooks.example.com/ada")
    await api_tenant.wait_for_end(await api_tenant.send("hook"), "DELIVERED")
    [message] = await api_tenant.list_outbox()
    assert message["address"] == {"url": "https://hooks.example.com/ada"}


async def test_only_requested_channels_are_used(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("all", ["push"], ["sms"], ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    shown = await api_tenant.wait_for_end(await api_tenant.send("all", channels=["email"]), "DELIVERED")
    assert [d["channel"] for d in shown["deliveries"]] == ["email"]


async def test_an_inline_recipient_is_sent_to_and_stored(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("hello", ["email"])
    person = {"recipient_id": "grace", "email": "grace@example.com", "locale": "en"}
    shown = await api_tenant.wait_for_end(await api_tenant.send("hello", recipient=person), "DELIVERED")
    assert shown["recipient_id"] == "grace"
    assert (await api_tenant.call("GET", "/recipients/grace"))["email"] == "grace@example.com"


@pytest.mark.parametrize(
    ("locale", "said", "language"),
    [
        ("fr-BE", "Bonjour en belge", "fr-BE"),
        ("fr-CA", "Bonjour", "fr"),
        ("de-AT", "Hello", "en"),
        (None, "Hello", "en"),
    ],
)
async def test_words_come_in_the_nearest_language(
    api_tenant: ApiTenant, locale: str | None, said: str, language: str
) -> None:
    await api_tenant.put_type("hello", ["sms"])
    await api_tenant.add_template("hello", "sms", "Hello")
    await api_tenant.add_template("hello", "sms", "Bonjour", language="fr")
    await api_tenant.add_template("hello", "sms", "Bonjour en belge", language="fr-BE")
    await api_tenant.put_recipient("ada", phone=PHONE, **({"locale": locale} if locale else {}))
    [delivery] = (await api_tenant.wait_for_end(await api_tenant.send("hello"), "DELIVERED"))["deliveries"]
    assert (delivery["rendered_content"]["text"], delivery["language"]) == (said, language)


@pytest.mark.parametrize(("policy", "said", "version"), [("pinned", "old words", 1), ("latest", "new words", 2)])
async def test_the_policy_decides_the_version_of_a_waiting_send(
    api_tenant: ApiTenant, policy: str, said: str, version: int
) -> None:
    await api_tenant.add_template("news", "sms", "old words")
    await api_tenant.call(
        "PUT",
        "/notification-types/news",
        {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}, "template_policy": policy},
    )
    await api_tenant.put_recipient("ada", phone=PHONE)
    id = await api_tenant.send("news", send_at=later(600))
    await api_tenant.add_template("news", "sms", "new words")
    await api_tenant.make_due(id)
    [delivery] = (await api_tenant.wait_for_status(id, "DELIVERED"))["deliveries"]
    assert (delivery["rendered_content"]["text"], delivery["template_version"]) == (said, version)


async def test_priority_and_tags_are_kept_and_the_types_priority_is_the_default(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["sms"], priority=1)
    await api_tenant.put_recipient("ada", phone=PHONE)
    plain, other = await api_tenant.send("code"), await api_tenant.send("code", priority=5, tags=["spring", "sale"])
    assert ((await api_tenant.notification(plain))["priority"], (await api_tenant.notification(plain))["tags"]) == (
        1,
        [],
    )
    assert ((await api_tenant.notification(other))["priority"], (await api_tenant.notification(other))["tags"]) == (
        5,
        ["spring", "sale"],
    )


async def test_a_recipient_erased_during_a_wait_gets_no_message(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(600))
    await api_tenant.call("DELETE", "/recipients/ada")
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("CANCELED", "canceled")
    assert await api_tenant.list_outbox() == []
