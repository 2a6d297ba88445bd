"""Check the sandbox behaviors through the API. A word in the contact point, or four digits, selects the behavior."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.sandbox import Sandbox
from tests.api_tenants import ApiTenant
from tests.stories.conftest import CHANNELS, SandboxFailures

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

on_every_channel = pytest.mark.parametrize("channel", CHANNELS)


def only_delivery(notification: dict[str, Any]) -> dict[str, Any]:
    [delivery] = notification["deliveries"]
    return dict(delivery)


def list_outcomes(notification: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(attempt["outcome"], attempt["reason"]) for attempt in only_delivery(notification)["attempts"]]


def list_pauses(notification: dict[str, Any]) -> list[timedelta]:
    """Return the times between the response to an attempt and the start of the next attempt."""
    attempts = only_delivery(notification)["attempts"]
    return [
        datetime.fromisoformat(after["started_at"]) - datetime.fromisoformat(before["finished_at"])
        for before, after in pairwise(attempts)
    ]


@on_every_channel
async def test_a_refused_recipient_is_not_retried(sandbox_failures: SandboxFailures, channel: str) -> None:
    notification = await sandbox_failures.wait_until_finished(channel, "refuse")
    assert (notification["status"], notification["failure_reason"]) == ("FAILED", f"{channel}: refused_recipient")
    assert list_outcomes(notification) == [("refused", "refused_recipient")]
    assert only_delivery(notification)["attempts"][0]["provider_response"] == {"code": "sandbox_refused"}
    assert await sandbox_failures.list_outbox(notification["id"]) == []


async def test_a_delay_is_explained_before_the_delivery(sandbox_failures: SandboxFailures) -> None:
    await sandbox_failures.api_tenant.put_recipient("delayed", email="ada+delay@example.com")
    id = await sandbox_failures.api_tenant.send("by-email", "delayed")
    notification = await sandbox_failures.api_tenant.wait_for_status(id, "DELIVERED")
    kinds = [entry["kind"] for entry in notification["timeline"]]
    assert kinds.index("delayed") < kinds.index("delivered")
    explanation = await sandbox_failures.api_tenant.call("GET", f"/notifications/{notification['id']}/explain")
    sentence = "sandbox has not handed it over yet and tries again: the mailbox is unavailable."
    assert any(sentence in line for line in str(explanation).splitlines()), explanation


@on_every_channel
async def test_refused_credentials_fail_the_delivery_with_provider_failed(
    sandbox_failures: SandboxFailures, channel: str
) -> None:
    notification = await sandbox_failures.wait_until_finished(channel, "broken")
    assert (notification["status"], notification["failure_reason"]) == (
        "FAILED",
        f"{channel}: provider_failed: credentials_refused",
    )
    [attempt] = only_delivery(notification)["attempts"]
    assert (attempt["outcome"], attempt["error_type"]) == ("error", "permanent")
    assert await sandbox_failures.list_outbox(notification["id"]) == []


@on_every_channel
async def test_the_third_attempt_at_a_flaky_provider_is_accepted(
    sandbox_failures: SandboxFailures, channel: str
) -> None:
    notification = await sandbox_failures.api_tenant.wait_for_status(
        sandbox_failures.ids[channel, "flaky"], "DELIVERED"
    )
    assert list_outcomes(notification) == [("error", "unavailable"), ("error", "unavailable"), ("accepted", None)]
    first, second = list_pauses(notification)
    assert timedelta(seconds=1) <= first
    assert timedelta(seconds=2) <= second
    assert len(await sandbox_failures.list_outbox(notification["id"])) == 1


@on_every_channel
async def test_a_throttled_call_is_retried_after_the_providers_retry_after(
    sandbox_failures: SandboxFailures, channel: str
) -> None:
    notification = await sandbox_failures.api_tenant.wait_for_status(
        sandbox_failures.ids[channel, "throttle"], "DELIVERED"
    )
    assert list_outcomes(notification) == [("error", "throttled"), ("accepted", None)]
    assert list_pauses(notification)[0] >= timedelta(seconds=1)
    assert len(await sandbox_failures.list_outbox(notification["id"])) == 1


async def test_a_retry_waits_for_a_longer_retry_after(api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return a Retry-After of 2 s, because the sandbox's own value of 1 s equals the shortest backoff."""
    send = Sandbox.send
    throttled: set[UUID] = set()

    async def throttle(sandbox: Sandbox, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if message.tenant == api_tenant.tenant and not throttled:
            throttled.add(message.attempt_id)
            raise TemporaryError("throttled", {"code": 429}, retry_after=2)
        return await send(sandbox, message)

    monkeypatch.setattr(Sandbox, "send", throttle)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    notification = await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    assert timedelta(seconds=2) <= list_pauses(notification)[0]


@on_every_channel
async def test_repeated_errors_fail_the_delivery_after_the_types_limit(
    sandbox_failures: SandboxFailures, channel: str
) -> None:
    notification = await sandbox_failures.wait_until_finished(channel, "error")
    attempts = len(list_outcomes(notification))
    assert list_outcomes(notification) == [("error", "unavailable")] * attempts
    reason = f"{channel}: retries_exhausted: unavailable"
    assert (notification["status"], notification["failure_reason"]) == ("FAILED", reason)
    assert attempts in (2, 3)  # on a slow machine the third would be later than the six seconds
    assert await sandbox_failures.list_outbox(notification["id"]) == []


async def test_four_errors_fail_a_step_that_has_a_later_step(sandbox_failures: SandboxFailures) -> None:
    notification = await sandbox_failures.api_tenant.wait_for_status(
        sandbox_failures.extra_ids["error with a later step"], "DELIVERED"
    )
    email, sms = sorted(notification["deliveries"], key=lambda delivery: delivery["step"])
    assert (email["status"], email["failure_reason"]) == ("FAILED", "retries_exhausted: unavailable")
    assert [attempt["outcome"] for attempt in email["attempts"]] == ["error"] * 4
    assert (sms["channel"], sms["status"], len(sms["attempts"])) == ("sms", "DELIVERED", 1)
    assert [message["channel"] for message in await sandbox_failures.list_outbox(notification["id"])] == ["sms"]


@on_every_channel
async def test_an_opened_message_is_delivered_before(sandbox_failures: SandboxFailures, channel: str) -> None:
    notification = await sandbox_failures.api_tenant.wait_for_status(sandbox_failures.ids[channel, "open"], "OPENED")
    delivery = only_delivery(notification)
    assert delivery["status"] == "OPENED"
    assert delivery["sent_at"] < delivery["delivered_at"] < delivery["opened_at"]
    statuses = [entry["status"] for entry in notification["timeline"] if entry["status"]]
    # On a slow machine both receipts arrive together and may be applied in either order.
    assert statuses in (["PENDING", "SENT", "DELIVERED", "OPENED"], ["PENDING", "SENT", "OPENED"])


@on_every_channel
async def test_a_message_without_a_receipt_stays_sent(sandbox_failures: SandboxFailures, channel: str) -> None:
    """Wait for the receipts of another message that was accepted at the same time."""
    await sandbox_failures.api_tenant.wait_for_status(sandbox_failures.ids[channel, "open"], "OPENED")
    notification = await sandbox_failures.wait_until_finished(channel, "silent")
    assert (notification["status"], only_delivery(notification)["delivered_at"]) == ("SENT", None)
    assert list_outcomes(notification) == [("accepted", None)]
    assert len(await sandbox_failures.list_outbox(notification["id"])) == 1
