"""Check `send_at`, expiry, and cancels at every stage of a notification."""

import asyncio
from datetime import datetime

import pytest

from bootstrap import Container
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.sandbox import Sandbox
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.engine import later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BUSY = TemporaryError("busy", {}, retry_after=60)


async def test_a_send_waits_for_its_send_at(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    send_at = later(1.5)
    id = await api_tenant.send("news", send_at=send_at)
    [delivery] = (await api_tenant.wait_for_end(id, "DELIVERED"))["deliveries"]
    assert datetime.fromisoformat(delivery["sent_at"]) >= datetime.fromisoformat(send_at)
    assert datetime.fromisoformat(delivery["created_at"]) >= datetime.fromisoformat(send_at), (
        "it was rendered too early"
    )


async def test_a_send_at_in_the_past_sends_immediately(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news", send_at=later(-3_600)), "DELIVERED")


async def test_an_expired_send_is_not_sent(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    notification = await api_tenant.wait_until_finished(await api_tenant.send_expired("news"))
    assert (notification["status"], notification["failure_reason"], notification["deliveries"]) == (
        "EXPIRED",
        "expired",
        [],
    )
    assert await api_tenant.list_outbox() == []


async def test_retries_end_when_the_notification_expires(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("news", expires_in="6s"))
    assert (notification["status"], notification["failure_reason"]) == ("EXPIRED", "email: expired: unavailable")
    assert notification["finished_at"] < notification["expires_at"], "it has waited for an attempt after its expiry"
    assert await api_tenant.list_outbox() == []


async def test_a_send_without_time_for_a_retry_falls_back(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com", phone="+447700900123")
    notification = await api_tenant.wait_for_end(await api_tenant.send("news", expires_in="6s"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in notification["deliveries"]} == {"email": "FAILED", "sms": "DELIVERED"}
    assert [message["channel"] for message in await api_tenant.list_outbox()] == ["sms"]


async def test_a_send_canceled_before_its_send_at_sends_no_message(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    id = await api_tenant.send("news", send_at=later(60))
    workflow = await api_tenant.engine.wait_for_start(id)
    response = await api_tenant.cancel(id)
    assert response == {"id": id, "status": "CANCELED", "channels": {"email": "stopped", "sms": "stopped"}}
    assert await workflow.result() == {"status": "CANCELED", "reason": "canceled"}
    description = await workflow.describe()
    notification = await api_tenant.notification(id)
    assert description.close_time
    assert description.close_time < datetime.fromisoformat(notification["send_at"]), "the signal has not ended the wait"
    assert (notification["status"], notification["failure_reason"], notification["deliveries"]) == (
        "CANCELED",
        "canceled",
        [],
    )
    assert [entry["kind"] for entry in notification["timeline"]] == ["accepted", "canceled"]


async def test_a_send_canceled_between_two_attempts_makes_no_further_attempt(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com", phone="+447700900123")
    id = await api_tenant.send("news")

    async def count_errors() -> int:
        notification = await api_tenant.notification(id)
        return sum(attempt["outcome"] == "error" for d in notification["deliveries"] for attempt in d["attempts"])

    await eventually(count_errors, lambda attempts: attempts == 2)
    response = await api_tenant.cancel(id)
    assert response == {"id": id, "status": "CANCELED", "channels": {"email": "stopped", "sms": "stopped"}}
    await (await api_tenant.engine.wait_for_start(id)).result()
    assert await count_errors() == 2
    assert await api_tenant.list_outbox() == []


@pytest.mark.parametrize(
    ("error", "status"), [(None, "SENT"), (UnknownOutcome("reset"), "IN_DOUBT"), (BUSY, "CANCELED")]
)
async def test_a_send_canceled_during_a_call_ends_with_its_outcome(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch, error: Exception | None, status: str
) -> None:
    called, canceled = asyncio.Event(), asyncio.Event()

    send = Sandbox.send

    async def send_after_the_cancel(sandbox: Sandbox, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if message.tenant == api_tenant.tenant:
            called.set()
            await canceled.wait()
            if error:
                raise error
        return await send(sandbox, message)

    monkeypatch.setattr(Sandbox, "send", send_after_the_cancel)
    await api_tenant.put_type("news", ["email"], ["sms"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+silent@example.com", phone="+447700900123")
    id = await api_tenant.send("news")
    await called.wait()
    response = await api_tenant.cancel(id)
    assert (response["status"], response["channels"]) == ("PENDING", {"email": "in_doubt", "sms": "stopped"})
    canceled.set()
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], [d["channel"] for d in notification["deliveries"]]) == (status, ["email"])
    assert len(await api_tenant.list_outbox()) == (status == "SENT")


async def test_a_cancel_ends_a_send_without_a_dispatcher(container: Container) -> None:
    async with open_in_process_tenant(container) as api_tenant:
        await api_tenant.put_type("news", ["sms"])
        await api_tenant.put_recipient("ada", phone="+447700900123")
        id = await api_tenant.send("news")
        canceled = await api_tenant.cancel(id)
        assert canceled == {"id": id, "status": "CANCELED", "channels": {"sms": "stopped"}}
        notification = await api_tenant.notification(id)
    assert (notification["status"], notification["finished_at"] is not None) == ("CANCELED", True)
