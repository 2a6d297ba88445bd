"""Test webhooks: what the receiver gets and verifies, and the meaning of its responses."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import standardwebhooks

from domain.target_urls import TargetPolicy
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.transport import Transport, outgoing_client
from providers.webhook import Webhook, build_body, derive_tenant_secret
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness import tools_with
from tests.providers.harness_webhook import SECRET, TENANT, WebhookBench

SAMPLE = Path(__file__).parent / "payloads" / "webhook" / "sent.json"
CREATED = datetime(2026, 3, 1, 13, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
async def bench() -> AsyncIterator[WebhookBench]:
    async with WebhookBench.running() as bench:
        yield bench


def verifier(bench: WebhookBench) -> standardwebhooks.Webhook:
    return standardwebhooks.Webhook(derive_tenant_secret(SECRET, TENANT))


async def test_the_body_is_the_documented_one(bench: WebhookBench) -> None:
    sample: dict[str, Any] = json.loads(SAMPLE.read_text())
    message = replace(bench.message_in_mode(VendorMode.GOOD), created_at=CREATED)
    await bench.provider.send(message)
    [request] = bench.vendor.log.requests
    sample["data"]["notification_id"] = str(message.notification_id)
    assert request.json == sample


async def test_the_standards_package_verifies_and_a_changed_byte_is_noticed(bench: WebhookBench) -> None:
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    [request] = bench.vendor.log.requests
    headers = dict(request.headers)
    assert verifier(bench).verify(request.body, headers) == request.json
    for body, changed in (
        (request.body + b" ", headers),
        (json.dumps(request.json).encode(), headers),
        (request.body, headers | {"webhook-id": str(uuid4())}),
        (request.body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verifier(bench).verify(body, changed)


async def test_a_repeated_delivery_has_the_same_id_and_body(bench: WebhookBench) -> None:
    """A receiver that follows the standard accepts it once."""
    message = bench.message_in_mode(VendorMode.GOOD)
    for attempt in (message, replace(message, attempt_id=uuid4())):
        await bench.provider.send(attempt)
    first, second = bench.vendor.log.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(message.delivery_id)
    assert first.body == second.body
    assert await bench.kept(message) == 1


async def test_the_time_of_the_signature_is_the_attempts(bench: WebhookBench) -> None:
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), created_at=CREATED - timedelta(days=3)))
    [request] = bench.vendor.log.requests
    assert abs(int(request.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 5


def test_each_tenant_has_its_own_standard_webhooks_secret() -> None:
    ours, others = derive_tenant_secret(SECRET, TENANT), derive_tenant_secret(SECRET, uuid4())
    assert ours != others
    assert ours == derive_tenant_secret(SECRET, TENANT) != derive_tenant_secret(b"another installation", TENANT)
    assert ours.startswith("whsec_")
    assert len(base64.b64decode(ours.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_accepted(bench: WebhookBench, status: int) -> None:
    bench.vendor.reply = Reply(status=status)
    message = bench.message_in_mode(VendorMode.GOOD)
    result = await bench.provider.send(message)
    assert result == ProviderAcceptance(message_id=str(message.delivery_id), response={"status": status})


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 402, 403, 404, 405, 413, 422])
async def test_a_refusal_is_about_this_endpoint_alone(bench: WebhookBench, status: int) -> None:
    bench.vendor.reply = Reply(status=status, headers={"location": f"{bench.vendor.url}/hooks/good"})
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert result == ProviderRefusal(reason=f"status_{status}", response={"status": status})
    assert len(bench.vendor.log.requests) == 1


async def test_410_is_a_definite_refusal(bench: WebhookBench) -> None:
    bench.vendor.reply = Reply(status=410)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert result == ProviderRefusal(reason="status_410", response={"status": 410}, is_gone=True)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(408, "timeout"), (425, "too_early"), (429, "throttled"), (500, "server_error"), (503, "server_error")],
)
async def test_a_receiver_that_is_not_ready_is_retried(bench: WebhookBench, status: int, reason: str) -> None:
    bench.vendor.reply = Reply(status=status, headers={"Retry-After": "30"})
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert (caught.value.reason, caught.value.retry_after) == (reason, 30)


@pytest.mark.parametrize("mode", [VendorMode.RESETS, VendorMode.LOSES])
async def test_a_missing_response_is_unknown(bench: WebhookBench, mode: VendorMode) -> None:
    with pytest.raises(UnknownOutcome, match="connection_lost"):
        await bench.provider.send(bench.message_in_mode(mode))


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "https://", "//example.com", "https://[::1/", "nothing"]
)
async def test_an_invalid_web_address_is_refused(bench: WebhookBench, url: str) -> None:
    result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), address={"url": url}))
    assert result == ProviderRefusal(reason="invalid_address")


async def test_a_private_address_is_refused_and_not_called(bench: WebhookBench) -> None:
    async with outgoing_client(guarded_http_transport(GuardedBackend(TargetPolicy(), failure_delay=0))) as client:
        provider = Webhook.build(tools_with(Transport(client), SECRET))
        with pytest.raises(TemporaryError, match="connect_failed"):
            await provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_an_address_without_a_listener_is_temporary(bench: WebhookBench) -> None:
    with pytest.raises(TemporaryError, match="connect_failed"):
        await bench.provider.send(
            replace(bench.message_in_mode(VendorMode.GOOD), address={"url": "http://127.0.0.1:1/"})
        )


async def test_webhooks_use_the_guarded_transport(bench: WebhookBench) -> None:
    """Bootstrap provides two transports. Only this one may reach addresses that users choose."""
    async with outgoing_client() as client:
        plain, chosen = Transport(client), Transport(client)
        tools = replace(tools_with(plain), guarded_transport=chosen)
        assert Webhook.build(tools)._transport is chosen


def test_a_json_template_keeps_its_text(bench: WebhookBench) -> None:
    message = replace(bench.message_in_mode(VendorMode.GOOD), content={"body": '{"order": 7, "price": "3 €"}'})
    data = json.loads(build_body(message))["data"]
    assert data["body"] == '{"order": 7, "price": "3 €"}'
    assert "subject" not in data
