"""What a customer sees of the sandbox's behaviours, asked for by a word in the contact point or by four digits."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.sandbox import Sandbox
from tests.engine import ApiTenant
from tests.stories.conftest import CHANNEL_NAMES, SandboxFailures

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

everywhere = pytest.mark.parametrize("place", CHANNEL_NAMES)


def only_delivery(shown: dict[str, Any]) -> dict[str, Any]:
    [delivery] = shown["deliveries"]
    return dict(delivery)


def outcomes(shown: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(attempt["outcome"], attempt["reason"]) for attempt in only_delivery(shown)["attempts"]]


def pauses(shown: dict[str, Any]) -> list[timedelta]:
    """Between the answer to one attempt and the start of the next."""
    attempts = only_delivery(shown)["attempts"]
    return [
        datetime.fromisoformat(after["started_at"]) - datetime.fromisoformat(before["finished_at"])
        for before, after in pairwise(attempts)
    ]


@everywhere
async def test_a_refused_recipient_is_not_tried_again(sandbox_failures: SandboxFailures, place: str) -> None:
    shown = await sandbox_failures.finished(place, "refuse")
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", f"{place}: refused_recipient")
    assert outcomes(shown) == [("refused", "refused_recipient")]
    assert only_delivery(shown)["attempts"][0]["provider_response"] == {"code": "sandbox_refused"}
    assert await sandbox_failures.in_outbox(shown["id"]) == []


@everywhere
async def test_refused_credentials_end_the_delivery_as_the_providers_fault(
    sandbox_failures: SandboxFailures, place: str
) -> None:
    shown = await sandbox_failures.finished(place, "broken")
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", f"{place}: provider_failed: credentials_refused")
    [attempt] = only_delivery(shown)["attempts"]
    assert (attempt["outcome"], attempt["error_type"]) == ("error", "permanent")
    assert await sandbox_failures.in_outbox(shown["id"]) == []


@everywhere
async def test_the_third_attempt_at_a_flaky_provider_is_accepted(sandbox_failures: SandboxFailures, place: str) -> None:
    shown = await sandbox_failures.api_tenant.wait_for_status(sandbox_failures.asked[place, "flaky"], "DELIVERED")
    assert outcomes(shown) == [("error", "unavailable"), ("error", "unavailable"), ("accepted", None)]
    first, second = pauses(shown)
    assert timedelta(seconds=1) <= first
    assert timedelta(seconds=2) <= second
    assert len(await sandbox_failures.in_outbox(shown["id"])) == 1


@everywhere
async def test_a_throttling_provider_is_called_again_after_its_retry_after(
    sandbox_failures: SandboxFailures, place: str
) -> None:
    shown = await sandbox_failures.api_tenant.wait_for_status(sandbox_failures.asked[place, "throttle"], "DELIVERED")
    assert outcomes(shown) == [("error", "throttled"), ("accepted", None)]
    assert pauses(shown)[0] >= timedelta(seconds=1)
    assert len(await sandbox_failures.in_outbox(shown["id"])) == 1


async def test_a_longer_retry_after_is_waited_for(api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's own second is also the shortest back-off."""
    send = Sandbox.send
    called: set[UUID] = set()

    async def throttle(sandbox: Sandbox, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if message.tenant == api_tenant.tenant and not called:
            called.add(message.attempt_id)
            raise TemporaryError("throttled", {"code": 429}, retry_after=2)
        return await send(sandbox, message)

    monkeypatch.setattr(Sandbox, "send", throttle)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    shown = await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    assert timedelta(seconds=2) <= pauses(shown)[0]


@everywhere
async def test_endless_errors_are_given_up_after_the_types_limit(sandbox_failures: SandboxFailures, place: str) -> None:
    shown = await sandbox_failures.finished(place, "error")
    made = len(outcomes(shown))
    assert outcomes(shown) == [("error", "unavailable")] * made
    reason = f"{place}: gave_up: unavailable"
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", reason)
    assert made in (2, 3)  # on a slow machine the third would come after the six seconds
    assert await sandbox_failures.in_outbox(shown["id"]) == []


async def test_with_a_later_step_four_errors_are_enough(sandbox_failures: SandboxFailures) -> None:
    shown = await sandbox_failures.api_tenant.wait_for_status(
        sandbox_failures.others["error with a later step"], "DELIVERED"
    )
    email, sms = sorted(shown["deliveries"], key=lambda delivery: delivery["step"])
    assert (email["status"], email["failure_reason"]) == ("FAILED", "gave_up: unavailable")
    assert [attempt["outcome"] for attempt in email["attempts"]] == ["error"] * 4
    assert (sms["channel"], sms["status"], len(sms["attempts"])) == ("sms", "DELIVERED", 1)
    assert [message["channel"] for message in await sandbox_failures.in_outbox(shown["id"])] == ["sms"]


@everywhere
async def test_an_opened_message_was_delivered_before(sandbox_failures: SandboxFailures, place: str) -> None:
    shown = await sandbox_failures.api_tenant.wait_for_status(sandbox_failures.asked[place, "open"], "OPENED")
    delivery = only_delivery(shown)
    assert delivery["status"] == "OPENED"
    assert delivery["sent_at"] < delivery["delivered_at"] < delivery["opened_at"]
    statuses = [entry["status"] for entry in shown["timeline"] if entry["status"]]
    # On a slow machine both receipts come at once, and may be applied in either order.
    assert statuses in (["PENDING", "SENT", "DELIVERED", "OPENED"], ["PENDING", "SENT", "OPENED"])


@everywhere
async def test_without_a_receipt_it_stays_sent(sandbox_failures: SandboxFailures, place: str) -> None:
    """One that was accepted at the same time has its receipts by now."""
    await sandbox_failures.api_tenant.wait_for_status(sandbox_failures.asked[place, "open"], "OPENED")
    shown = await sandbox_failures.finished(place, "silent")
    assert (shown["status"], only_delivery(shown)["delivered_at"]) == ("SENT", None)
    assert outcomes(shown) == [("accepted", None)]
    assert len(await sandbox_failures.in_outbox(shown["id"])) == 1
