"""Test the signatures of Resend, also with the example that Svix publishes."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from providers.base import ForgedReceipt, UnreadableReceipt
from tests.providers.harness_resend import (
    EVENTS,
    ResendBench,
    parsed,
    raw,
)


@pytest.fixture
async def bench() -> AsyncIterator[ResendBench]:
    async with ResendBench.running() as bench:
        yield bench


# https://docs.svix.com/receiving/verifying-payloads/how-manual, whose example is also that of Resend's documentation.
SVIX_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SVIX_HEADERS = {
    "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "svix-timestamp": "1614265330",
    "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SVIX_BODY = b'{"test": 2432232314}'


async def test_the_published_example_of_a_signature_is_verified(
    bench: ResendBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = bench.adapter(webhook_secret=SecretStr(SVIX_SECRET))
    with pytest.raises(ForgedReceipt):
        provider.parse_receipts(SVIX_HEADERS, SVIX_BODY)
    travel_to(monkeypatch, datetime.fromtimestamp(1614265330, UTC))
    with pytest.raises(UnreadableReceipt):  # the signature is good, and the body is no event
        provider.parse_receipts(SVIX_HEADERS, SVIX_BODY)
    with pytest.raises(ForgedReceipt):
        provider.parse_receipts(SVIX_HEADERS, SVIX_BODY + b" ")


def travel_to(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    class FixedDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return at

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", FixedDatetime)


async def test_one_of_several_signatures_suffices(bench: ResendBench) -> None:
    """While the secret is changed there are two."""
    body = raw(EVENTS["delivered"])
    headers = dict(bench.signed(body, datetime.now(UTC)))
    other = f"v1,{base64.b64encode(b'x' * 32).decode()}"
    headers["svix-signature"] = f"{other} {headers['svix-signature']}"
    assert bench.provider.parse_receipts(headers, body)
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({**headers, "svix-signature": f"{other} {other}"}, body)


@pytest.mark.parametrize("age", [timedelta(minutes=6), -timedelta(minutes=6)], ids=["replayed", "from the future"])
async def test_a_signature_is_good_for_five_minutes(bench: ResendBench, age: timedelta) -> None:
    body = raw(EVENTS["delivered"])
    assert parsed(bench, body, datetime.now(UTC) - age * 0.7)
    with pytest.raises(ForgedReceipt):
        parsed(bench, body, datetime.now(UTC) - age)


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,!", "v1,é", "v2,AAAA", ",", "v1,a,b", "A" * 1000])
@pytest.mark.parametrize("timestamp", ["now", "", "NaN", "1e99", "é"])
async def test_a_signature_that_is_none_is_forged(bench: ResendBench, signature: str, timestamp: str) -> None:
    now = str(int(datetime.now(UTC).timestamp()))
    headers = {"svix-id": "msg_1", "svix-timestamp": timestamp.replace("now", now), "svix-signature": signature}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, raw(EVENTS["delivered"]))


async def test_every_receipt_is_refused_without_a_secret(bench: ResendBench) -> None:
    bench.provider = bench.adapter(webhook_secret=SecretStr(""))
    with pytest.raises(ForgedReceipt):
        parsed(bench, raw(EVENTS["delivered"]))


@pytest.mark.parametrize("secret", ["whsec_", "whsec_é", "whsec_A"])
async def test_an_invalid_secret_is_an_error_at_start(bench: ResendBench, secret: str) -> None:
    with pytest.raises(ValueError, match="TOCSIN_RESEND_WEBHOOK_SECRET"):
        bench.adapter(webhook_secret=SecretStr(secret))
