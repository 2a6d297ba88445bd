"""Waiting until `send_at`, expiring, and cancelling at every moment of a notification's life."""

import asyncio
from datetime import datetime, timedelta

import httpx2
import pytest

from domain.outgoing import Message
from providers.outcomes import Accepted, Refused, Temporary, Unknown
from providers.sandbox import Sandbox
from tests.engine import Shop, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BUSY = Temporary("busy", {}, retry_after=60)


async def test_a_send_waits_for_its_time(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    send_at = later(1.5)
    id = await shop.send("news", send_at=send_at)
    [delivery] = (await shop.ended(id, "DELIVERED"))["deliveries"]
    assert datetime.fromisoformat(delivery["sent_at"]) >= datetime.fromisoformat(send_at)
    assert datetime.fromisoformat(delivery["created_at"]) >= datetime.fromisoformat(send_at), "rendered too early"


async def test_a_time_that_has_passed_means_now(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ended(await shop.send("news", send_at=later(-3_600)), "DELIVERED")


async def test_what_has_expired_is_not_sent(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    shown = await shop.finished(await shop.send_expired("news"))
    assert (shown["status"], shown["failure_reason"], shown["deliveries"]) == ("EXPIRED", "expired", [])
    assert await shop.outbox() == []


async def test_the_types_expiry_holds_for_its_sends(shop: Shop) -> None:
    await shop.type("news", ["email"], expires_in="30m")
    await shop.person("ada", email="ada@example.com")
    shown = await shop.ended(await shop.send("news", send_at=later(-60)), "DELIVERED")
    lifetime = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["send_at"])
    assert lifetime == timedelta(minutes=30)


async def test_retries_end_when_the_notification_expires(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    shown = await shop.finished(await shop.send("news", expires_in="6s"))
    assert (shown["status"], shown["failure_reason"]) == ("EXPIRED", "email: expired: unavailable")
    assert shown["finished_at"] < shown["expires_at"], "it waits for an attempt that will not be made"
    assert await shop.outbox() == []


async def test_what_cannot_be_retried_in_time_falls_back_while_there_is_time(shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+error@example.com", phone="+447700900123")
    shown = await shop.ended(await shop.send("news", expires_in="6s"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"email": "FAILED", "sms": "DELIVERED"}
    assert [message["channel"] for message in await shop.outbox()] == ["sms"]


async def test_cancelled_while_it_waits_for_its_time_nothing_goes_out(shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada@example.com", phone="+447700900123")
    id = await shop.send("news", send_at=later(60))
    workflow = await shop.engine.started(id)
    answer = await shop.cancel(id)
    assert answer == {"id": id, "status": "CANCELED", "channels": {"email": "stopped", "sms": "stopped"}}
    assert await workflow.result() == {"status": "CANCELED", "reason": "canceled"}
    description = await workflow.describe()
    shown = await shop.shown(id)
    assert description.close_time
    assert description.close_time < datetime.fromisoformat(shown["send_at"]), "the signal did not wake the wait"
    assert (shown["status"], shown["failure_reason"], shown["deliveries"]) == ("CANCELED", "canceled", [])
    assert [entry["kind"] for entry in shown["timeline"]] == ["accepted", "canceled"]


async def test_cancelled_between_two_attempts_there_is_no_further_one(shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+error@example.com", phone="+447700900123")
    id = await shop.send("news")

    async def answered() -> int:
        shown = await shop.shown(id)
        return sum(attempt["outcome"] == "error" for d in shown["deliveries"] for attempt in d["attempts"])

    await eventually(answered, lambda attempts: attempts == 2)
    answer = await shop.cancel(id)
    assert answer == {"id": id, "status": "CANCELED", "channels": {"email": "stopped", "sms": "stopped"}}
    await (await shop.engine.started(id)).result()
    assert await answered() == 2
    assert await shop.outbox() == []


async def test_cancelled_after_it_was_sent_it_stays_sent(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news")
    await shop.ended(id, "DELIVERED")
    assert await shop.cancel(id) == {"id": id, "status": "DELIVERED", "channels": {"email": "already_sent"}}
    assert (await shop.shown(id))["status"] == "DELIVERED"


@pytest.mark.parametrize(("answer", "status"), [(None, "SENT"), (Unknown("reset"), "IN_DOUBT"), (BUSY, "CANCELED")])
async def test_cancelled_during_a_call_its_answer_decides(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: Exception | None, status: str
) -> None:
    called, canceled = asyncio.Event(), asyncio.Event()

    send = Sandbox.send

    async def answers_late(sandbox: Sandbox, message: Message) -> Accepted | Refused:
        if message.tenant == shop.tenant:
            called.set()
            await canceled.wait()
            if answer:
                raise answer
        return await send(sandbox, message)

    monkeypatch.setattr(Sandbox, "send", answers_late)
    await shop.type("news", ["email"], ["sms"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+silent@example.com", phone="+447700900123")
    id = await shop.send("news")
    await called.wait()
    said = await shop.cancel(id)
    assert (said["status"], said["channels"]) == ("PENDING", {"email": "in_doubt", "sms": "stopped"})
    canceled.set()
    shown = await shop.finished(id)
    assert (shown["status"], [d["channel"] for d in shown["deliveries"]]) == (status, ["email"])
    assert len(await shop.outbox()) == (status == "SENT")


async def test_cancelling_twice_says_the_same(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(60))
    assert await shop.cancel(id) == await shop.cancel(id)
    shown = await shop.finished(id)
    assert [entry["kind"] for entry in shown["timeline"]] == ["accepted", "canceled"]


async def test_with_nobody_to_dispatch_a_cancel_ends_it_all_the_same(api: httpx2.AsyncClient) -> None:
    template = {"name": "t", "channel": "sms", "language": "en", "body_template": "Hi", "publish": True}
    await api.post("/templates", json={**template, "variables_schema": {}})
    await api.put("/notification-types/t", json={"route": [{"channels": ["sms"]}], "templates": {"sms": "t"}})
    person = {"recipient_id": "ada", "phone": "+447700900123"}
    sent = await api.post("/notifications/send", json={"notification_type": "t", "recipient": person})
    assert sent.status_code == 202, sent.text
    id = sent.json()["id"]
    canceled = await api.post(f"/notifications/{id}/cancel")
    assert canceled.status_code == 200
    assert canceled.json() == {"id": id, "status": "CANCELED", "channels": {"sms": "stopped"}}
    shown = (await api.get(f"/notifications/{id}")).json()
    assert (shown["status"], shown["finished_at"] is not None) == ("CANCELED", True)
