"""Test the status callbacks of Twilio: the kind, the reason and the attempt of each."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from domain.evidence import ReceiptKind
from providers.base import UnreadableReceipt
from services.receipts import stored_receipt_of as stored
from testing.vendors.twilio import TOKEN, sign
from tests.providers.harness_twilio import ATTEMPT, CALLBACK, QUERY, TwilioBench, callback


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with TwilioBench.running() as bench:
        yield bench


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [
        ("queued", ReceiptKind.UNKNOWN, None),
        ("sent", ReceiptKind.UNKNOWN, None),
        ("delivered", ReceiptKind.DELIVERED, None),
        ("read", ReceiptKind.OPENED, None),
        ("undelivered", ReceiptKind.BOUNCED, "unreachable"),
        ("failed", ReceiptKind.FAILED, "unreachable"),
        ("canceled", ReceiptKind.FAILED, "unreachable"),
    ],
)
async def test_every_vendor_term_has_its_receipt_kind(
    bench: TwilioBench, word: str, kind: ReceiptKind, reason: str | None
) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": word, "ErrorCode": "30003"}).encode()
    [receipt] = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    assert (receipt.kind, receipt.reason) == (kind, reason)


@pytest.mark.parametrize("code", ["", "39999", "٣", "x"])
async def test_a_code_that_is_not_listed_is_kept_and_an_unknown_error(bench: TwilioBench, code: str) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": code}).encode()
    [receipt] = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    assert (receipt.reason, receipt.raw["ErrorCode"]) == ("unknown_error", code)


@pytest.mark.parametrize("name", ["delivered", "undelivered"])
async def test_a_callback_to_the_given_address_names_the_attempt(bench: TwilioBench, name: str) -> None:
    body = callback(name)
    url = f"{CALLBACK}?{QUERY}"
    signature = sign(TOKEN, url, body)
    [receipt] = bench.provider.parse_receipts({"x-twilio-signature": signature}, body, QUERY)
    assert (receipt.attempt_id, receipt.provider_message_id) == (ATTEMPT, "SM" + "a" * 32)
    assert receipt.raw["MessageStatus"] == name
    assert RequestValidator(TOKEN).validate(url, receipt.raw, signature)


async def test_a_replayed_callback_is_the_same_receipt(bench: TwilioBench) -> None:
    """The signature covers no time, so a replay cannot be detected. It has no effect."""
    body = callback("delivered")
    ids = {
        stored("twilio", receipt).id
        for _ in range(2)
        for receipt in bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    }
    assert len(ids) == 1


@pytest.mark.parametrize("query", ["attempt=", "attempt=7", "other=1"])
async def test_a_signed_address_without_a_reference_is_matched_by_the_message(bench: TwilioBench, query: str) -> None:
    body = callback("delivered")
    headers = {"x-twilio-signature": sign(TOKEN, f"{CALLBACK}?{query}", body)}
    [receipt] = bench.provider.parse_receipts(headers, body, query)
    assert (receipt.attempt_id, receipt.provider_message_id) == (None, "SM" + "a" * 32)


@pytest.mark.parametrize("fields", [{"MessageSid": "SM1"}, {"MessageStatus": "sent"}, {"MessageSid": ""}])
async def test_a_signed_form_that_is_no_status_is_unreadable(bench: TwilioBench, fields: dict[str, str]) -> None:
    body = urlencode(fields).encode()
    with pytest.raises(UnreadableReceipt):
        bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
