"""Test the events of Mailgun: the kind, the token and the attempt of each."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.evidence import ReceiptKind
from providers.base import UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.mailgun.adapter import Mailgun
from providers.mailgun.lookup import REFERENCE
from providers.mailgun.options import COPY_DIGEST
from services.receipts import stored_receipt_of as stored
from tests.providers.harness_mailgun import ATTEMPT, EVENTS, MailgunBench, callback, parsed


@pytest.fixture
async def bench() -> AsyncIterator[MailgunBench]:
    async with MailgunBench.running() as bench:
        yield bench


async def test_every_vendor_term_has_its_receipt_kind(bench: MailgunBench) -> None:
    receipts = [parsed(bench, event) for event in EVENTS]
    assert [(receipt.raw["event"], receipt.kind, receipt.reason) for receipt in receipts] == [
        ("accepted", ReceiptKind.UNKNOWN, None),
        ("delivered", ReceiptKind.DELIVERED, None),
        ("opened", ReceiptKind.OPENED, None),
        ("clicked", ReceiptKind.CLICKED, None),
        ("unsubscribed", ReceiptKind.UNSUBSCRIBED, None),
        ("complained", ReceiptKind.COMPLAINED, None),
        ("rejected", ReceiptKind.FAILED, "unverified_recipient"),
        ("failed", ReceiptKind.FAILED, "bounced_before"),
        ("failed", ReceiptKind.BOUNCED, "invalid_address"),
        ("failed", ReceiptKind.BOUNCED, "mailbox_disabled"),
        ("failed", ReceiptKind.FAILED, "validity_expired"),
        ("failed", ReceiptKind.DELAYED, "mailbox_full"),
    ]
    assert {receipt.attempt_id for receipt in receipts} == {ATTEMPT}
    assert {receipt.occurred_at for receipt in receipts} == {datetime(2018, 6, 22, 18, 29, 59, 626182, UTC)}


async def test_an_event_of_a_copy_proves_nothing_about_the_recipient(bench: MailgunBench) -> None:
    variables = {REFERENCE: str(ATTEMPT), COPY_DIGEST: recipient_digest(ATTEMPT, "ada@example.com")}
    bounced, rejected = ({**EVENTS[index], "user-variables": variables} for index in (8, 6))
    events = [{**bounced, "recipient": "bob@example.com"}, bounced, rejected]
    assert [(receipt.kind, receipt.reason) for receipt in (parsed(bench, event) for event in events)] == [
        (ReceiptKind.UNKNOWN, None),
        (ReceiptKind.BOUNCED, "invalid_address"),
        (ReceiptKind.FAILED, "unverified_recipient"),
    ]


@pytest.mark.parametrize("variables", [None, [], "text", {}, {REFERENCE: 7}, {REFERENCE: "another system's"}])
async def test_an_event_of_another_sender_is_of_no_attempt(bench: MailgunBench, variables: Any) -> None:
    receipt = parsed(bench, {**EVENTS[1], "user-variables": variables})
    message_id = EVENTS[1]["message"]["headers"]["message-id"]
    assert (receipt.attempt_id, receipt.provider_message_id) == (None, message_id)


async def test_a_repeated_event_with_another_token_is_the_same_receipt(bench: MailgunBench) -> None:
    first, again = (parsed(bench, EVENTS[1]) for _ in range(2))
    assert first.token != again.token
    assert stored("mailgun", first).id == stored("mailgun", again).id


async def test_another_event_with_a_copied_signature_has_the_used_token(bench: MailgunBench) -> None:
    """The signature does not cover the event. The database stores one receipt for each token."""
    signature = bench.vendor.sign(str(int(time.time())), "t" * 50)
    rows = [stored("mailgun", *bench.provider.parse_receipts({}, callback(signature, event))) for event in EVENTS[1:3]]
    assert rows[0].id != rows[1].id
    assert rows[0].token == rows[1].token is not None


def test_a_stored_callback_gets_the_only_status_that_mailgun_does_not_repeat() -> None:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries"""
    assert Mailgun.receipt_status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"event": None},
        {"event": []},
        {"timestamp": "1e999"},
        {"timestamp": 10**30},
        {"event": "failed", "delivery-status": 7},
        {"event": "rejected", "reject": 7},
    ],
    ids=str,
)
async def test_an_undocumented_event_is_unreadable_or_unknown(bench: MailgunBench, change: Any) -> None:
    if change == {"event": None}:
        assert parsed(bench, EVENTS[1] | change).kind is ReceiptKind.UNKNOWN
    else:
        with pytest.raises(UnreadableReceipt):
            parsed(bench, EVENTS[1] | change)
