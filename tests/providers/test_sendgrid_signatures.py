"""Test the signatures of SendGrid."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook

from providers.base import ForgedReceipt
from providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from testing.vendors.sendgrid import shown
from tests.providers.harness_sendgrid import SendGridBench, parsed, raw, sample


@pytest.fixture
async def bench() -> AsyncIterator[SendGridBench]:
    async with SendGridBench.running() as bench:
        yield bench


async def test_the_vendors_own_check_agrees_with_the_signatures_of_these_tests(bench: SendGridBench) -> None:
    body = raw(sample("events"))
    headers = bench.signed(body, datetime.now(UTC))
    oracle = EventWebhook(shown(bench.vendor.key))
    assert oracle.verify_signature(body.decode(), headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER])
    assert not EventWebhook(shown(bench.forger.key)).verify_signature(
        body.decode(), headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER]
    )
    assert len(parsed(bench, body)) == len(sample("events"))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.rstrip(b"\r\n"),
        lambda body: json.dumps(json.loads(body)).encode() + b"\r\n",
        lambda body: body.replace(b"delivered", b"open"),
    ],
    ids=["without its line's end", "re-serialised", "changed"],
)
async def test_only_the_exact_bytes_are_accepted(bench: SendGridBench, change: Any) -> None:
    body = raw(sample("events"))
    headers = bench.signed(body, datetime.now(UTC))
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, change(body))


@pytest.mark.parametrize("age", [timedelta(minutes=6), -timedelta(minutes=6)], ids=["replayed", "from the future"])
async def test_a_signature_is_good_for_five_minutes(bench: SendGridBench, age: timedelta) -> None:
    body = raw(sample("events"))
    assert parsed(bench, body, datetime.now(UTC) - age * 0.7)
    with pytest.raises(ForgedReceipt):
        parsed(bench, body, datetime.now(UTC) - age)


async def test_a_new_timestamp_with_an_old_signature_is_forged(bench: SendGridBench) -> None:
    body = raw(sample("events"))
    headers = {**bench.signed(body, datetime.now(UTC) - timedelta(hours=1)), TIMESTAMP_HEADER: str(int(time.time()))}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, body)


@pytest.mark.parametrize("signature", ["", "!", "MEUCIQ==", "é", "A" * 1000])
async def test_a_signature_that_is_none_is_forged(bench: SendGridBench, signature: str) -> None:
    headers = {TIMESTAMP_HEADER: str(int(time.time())), SIGNATURE_HEADER: signature}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, b"[]")


async def test_every_receipt_is_refused_without_a_public_key(bench: SendGridBench) -> None:
    bench.provider = bench.adapter(webhook_public_key="")
    with pytest.raises(ForgedReceipt):
        parsed(bench, raw(sample("events")))


@pytest.mark.parametrize("key", ["nonsense", shown(SendGridBench.forger.key)[:-8]])
async def test_an_invalid_public_key_is_an_error_at_start(bench: SendGridBench, key: str) -> None:
    with pytest.raises(ValueError, match="TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY"):
        bench.adapter(webhook_public_key=key)
