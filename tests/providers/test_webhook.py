"""Webhooks: what the receiver gets and verifies, and what its answers mean."""

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

from domain.targets import Targets
from providers.guard import GuardedBackend, guarded
from providers.outcomes import Accepted, Refused, Temporary, Unknown
from providers.transport import Transport, outgoing_client
from providers.webhook import Webhook, body_of, tenant_secret
from tests.providers.harness import tools_with
from tests.providers.harness_http import Day, Reply
from tests.providers.harness_webhook import SECRET, TENANT, WebhookBench, webhook_bench

SAMPLE = Path(__file__).parent / "payloads" / "webhook" / "sent.json"
CREATED = datetime(2026, 3, 1, 13, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
async def bench() -> AsyncIterator[WebhookBench]:
    async with webhook_bench() as bench:
        yield bench


def verifier(bench: WebhookBench) -> standardwebhooks.Webhook:
    return standardwebhooks.Webhook(tenant_secret(SECRET, TENANT))


async def test_the_body_is_the_documented_one(bench: WebhookBench) -> None:
    sample: dict[str, Any] = json.loads(SAMPLE.read_text())
    message = replace(bench.on(Day.GOOD), created_at=CREATED)
    await bench.provider.send(message)
    [request] = bench.vendor.requests
    sample["data"]["notification_id"] = str(message.notification_id)
    assert request.json == sample


async def test_the_standards_package_verifies_and_a_changed_byte_is_noticed(bench: WebhookBench) -> None:
    await bench.provider.send(bench.on(Day.GOOD))
    [request] = bench.vendor.requests
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
    """A receiver that obeys the standard takes it once."""
    message = bench.on(Day.GOOD)
    for attempt in (message, replace(message, attempt_id=uuid4())):
        await bench.provider.send(attempt)
    first, second = bench.vendor.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(message.delivery_id)
    assert first.body == second.body
    assert await bench.kept(message) == 1


async def test_the_time_of_the_signature_is_the_attempts(bench: WebhookBench) -> None:
    await bench.provider.send(replace(bench.on(Day.GOOD), created_at=CREATED - timedelta(days=3)))
    [request] = bench.vendor.requests
    assert abs(int(request.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 5


def test_a_tenant_has_a_secret_of_its_own_as_the_standard_writes_it() -> None:
    ours, others = tenant_secret(SECRET, TENANT), tenant_secret(SECRET, uuid4())
    assert ours != others
    assert ours == tenant_secret(SECRET, TENANT) != tenant_secret(b"another installation", TENANT)
    assert ours.startswith("whsec_")
    assert len(base64.b64decode(ours.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_yes(bench: WebhookBench, status: int) -> None:
    bench.vendor.reply = Reply(status=status)
    message = bench.on(Day.GOOD)
    answer = await bench.provider.send(message)
    assert answer == Accepted(message_id=str(message.delivery_id), response={"status": status})


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 402, 403, 404, 405, 413, 422])
async def test_a_refusal_is_about_this_endpoint_alone(bench: WebhookBench, status: int) -> None:
    bench.vendor.reply = Reply(status=status, headers={"location": f"{bench.vendor.url}/hooks/good"})
    answer = await bench.provider.send(bench.on(Day.GOOD))
    assert answer == Refused(reason=f"status_{status}", response={"status": status})
    assert len(bench.vendor.requests) == 1


async def test_410_is_the_definite_word(bench: WebhookBench) -> None:
    bench.vendor.reply = Reply(status=410)
    answer = await bench.provider.send(bench.on(Day.GOOD))
    assert answer == Refused(reason="status_410", response={"status": 410}, gone=True)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(408, "timeout"), (425, "too_early"), (429, "throttled"), (500, "server_error"), (503, "server_error")],
)
async def test_a_receiver_that_is_not_ready_is_asked_again(bench: WebhookBench, status: int, reason: str) -> None:
    bench.vendor.reply = Reply(status=status, headers={"Retry-After": "30"})
    with pytest.raises(Temporary) as caught:
        await bench.provider.send(bench.on(Day.GOOD))
    assert (caught.value.reason, caught.value.retry_after) == (reason, 30)


@pytest.mark.parametrize("day", [Day.RESETS, Day.LOSES])
async def test_no_answer_is_unknown(bench: WebhookBench, day: Day) -> None:
    with pytest.raises(Unknown, match="connection_lost"):
        await bench.provider.send(bench.on(day))


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "https://", "//example.com", "https://[::1/", "nothing"]
)
async def test_what_is_no_web_address_is_refused(bench: WebhookBench, url: str) -> None:
    answer = await bench.provider.send(replace(bench.on(Day.GOOD), address={"url": url}))
    assert answer == Refused(reason="invalid_address")


async def test_a_private_address_is_refused_and_not_called(bench: WebhookBench) -> None:
    async with outgoing_client(guarded(GuardedBackend(Targets(), fails_after=0))) as client:
        provider = Webhook.build(tools_with(Transport(client), SECRET))
        with pytest.raises(Temporary, match="connect_failed"):
            await provider.send(bench.on(Day.GOOD))
    assert bench.vendor.requests == []


async def test_an_address_that_nobody_listens_at_is_temporary(bench: WebhookBench) -> None:
    with pytest.raises(Temporary, match="connect_failed"):
        await bench.provider.send(replace(bench.on(Day.GOOD), address={"url": "http://127.0.0.1:1/"}))


async def test_it_goes_by_the_guarded_way(bench: WebhookBench) -> None:
    """Bootstrap hands out two; only this one may meet what users chose."""
    async with outgoing_client() as client:
        plain, chosen = Transport(client), Transport(client)
        tools = replace(tools_with(plain), guarded=chosen)
        assert Webhook.build(tools)._transport is chosen


def test_a_template_of_json_stays_the_text_it_is(bench: WebhookBench) -> None:
    message = replace(bench.on(Day.GOOD), content={"body": '{"order": 7, "price": "3 €"}'})
    data = json.loads(body_of(message))["data"]
    assert data["body"] == '{"order": 7, "price": "3 €"}'
    assert "subject" not in data
