"""Test the signatures of Mailgun."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from providers.base import ForgedReceipt
from testing.vendors.mailgun import FakeMailgun
from tests.providers.harness_mailgun import EVENTS, MailgunBench, callback, parsed


@pytest.fixture
async def bench() -> AsyncIterator[MailgunBench]:
    async with MailgunBench.running() as bench:
        yield bench


async def test_the_signature_is_that_of_the_vendors_package(
    bench: MailgunBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SecurityGuard.verify_webhook` of the package mailgun 1.10.0 accepts these values."""
    signature = {
        "timestamp": "1767225600",
        "token": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a697887",
        "signature": "cce75d31bd25504445a93ec31a38d0060cebbd89924b5ddccd595704c0d57ef0",
    }
    bench.provider = bench.adapter(webhook_signing_key=SecretStr("f3c1c6d7e2a94b0f8e5d"))
    monkeypatch.setattr(time, "time", lambda: 1767225700.0)
    assert bench.provider.parse_receipts({}, callback(signature))
    for name, value in signature.items():
        with pytest.raises(ForgedReceipt):
            bench.provider.parse_receipts({}, callback(signature | {name: value[:-1] + "1"}))


async def test_the_signature_of_the_parent_account_is_accepted(bench: MailgunBench) -> None:
    signature = bench.vendor.sign(str(int(time.time())), "t" * 50)
    own = bench.forger.sign(signature["timestamp"], signature["token"])
    assert bench.provider.parse_receipts({}, callback(own | {"parent-signature": signature["signature"]}))


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        (timedelta(hours=7, minutes=59), True),
        (timedelta(hours=8, minutes=1), False),
        (-timedelta(minutes=4), True),
        (-timedelta(minutes=6), False),
    ],
)
async def test_a_signature_is_good_while_mailgun_repeats(bench: MailgunBench, age: timedelta, accepted: bool) -> None:
    at = datetime.now(UTC) - age
    if accepted:
        assert parsed(bench, EVENTS[1], at)
    else:
        with pytest.raises(ForgedReceipt):
            parsed(bench, EVENTS[1], at)


@pytest.mark.parametrize("signature", [None, 7, "text", [], {}, {"token": 7}, {"token": ""}, {"token": "t"}])
async def test_a_signature_that_is_none_is_forged(bench: MailgunBench, signature: Any) -> None:
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({}, callback(signature))


@pytest.mark.parametrize("timestamp", ["soon", "", "-1", "9" * 400])
async def test_a_signed_time_that_is_none_is_forged(bench: MailgunBench, timestamp: str) -> None:
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({}, callback(bench.vendor.sign(timestamp, "t" * 50)))


async def test_a_signed_time_in_other_digits_is_forged(bench: MailgunBench) -> None:
    arabic = str(int(time.time())).translate({ord("0") + digit: ord("\u0660") + digit for digit in range(10)})
    with pytest.raises(ForgedReceipt, match="not a number"):
        bench.provider.parse_receipts({}, callback(bench.vendor.sign(arabic, "t" * 50)))


async def test_a_signature_without_a_token_is_forged(bench: MailgunBench) -> None:
    """Its receipt would have no token that counts once."""
    with pytest.raises(ForgedReceipt, match="missing"):
        bench.provider.parse_receipts({}, callback(bench.vendor.sign(str(int(time.time())), "")))


async def test_every_receipt_is_refused_without_a_signing_key(bench: MailgunBench) -> None:
    bench.provider = bench.adapter(webhook_signing_key=SecretStr(""))
    signature = FakeMailgun(secret="").sign(str(int(time.time())), "t" * 50)
    with pytest.raises(ForgedReceipt, match="TOCSIN_MAILGUN_WEBHOOK_SIGNING_KEY"):
        bench.provider.parse_receipts({}, callback(signature))
