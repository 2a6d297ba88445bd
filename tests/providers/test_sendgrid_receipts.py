"""Test the events of SendGrid: the kind of each, unrelated and undocumented ones, and their number."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.routes.receipts import VALUE_LIMIT
from domain.evidence import ReceiptKind
from providers.base import UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.sendgrid.adapter import SendGrid
from providers.sendgrid.lookup import REFERENCE
from providers.sendgrid.options import COPY_DIGEST
from services.receipts import stored_receipt_of as stored
from tests.providers.harness_sendgrid import SendGridBench, parsed, raw, sample

ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")


@pytest.fixture
async def bench() -> AsyncIterator[SendGridBench]:
    async with SendGridBench.running() as bench:
        yield bench


async def test_every_vendor_term_has_its_receipt_kind(bench: SendGridBench) -> None:
    receipts = [
        (receipt.raw["event"], receipt.kind, receipt.reason) for receipt in parsed(bench, raw(sample("events")))
    ]
    assert receipts == [
        ("processed", ReceiptKind.UNKNOWN, None),
        ("deferred", ReceiptKind.DELAYED, None),
        ("delivered", ReceiptKind.DELIVERED, None),
        ("open", ReceiptKind.OPENED, None),
        ("click", ReceiptKind.CLICKED, None),
        ("bounce", ReceiptKind.BOUNCED, "invalid_address"),
        ("bounce", ReceiptKind.BOUNCED, "refused_by_policy"),
        ("dropped", ReceiptKind.FAILED, "bounced_before"),
        ("spamreport", ReceiptKind.COMPLAINED, None),
        ("unsubscribe", ReceiptKind.UNSUBSCRIBED, None),
        ("group_unsubscribe", ReceiptKind.UNSUBSCRIBED, "group_10"),
        ("group_resubscribe", ReceiptKind.RESUBSCRIBED, "group_10"),
    ]


async def test_an_event_of_a_copy_proves_nothing_about_the_recipient(bench: SendGridBench) -> None:
    attempt_id = uuid4()
    marks = {REFERENCE: str(attempt_id), COPY_DIGEST: recipient_digest(attempt_id, "ada@example.com")}
    events = [
        {"email": email, "event": "bounce", "timestamp": 1, "sg_message_id": "m", **marks}
        for email in ("bob@example.com", "ada@example.com")
    ]
    assert [receipt.kind for receipt in parsed(bench, raw(events))] == [ReceiptKind.UNKNOWN, ReceiptKind.BOUNCED]


async def test_a_receipt_names_attempt_message_and_time(bench: SendGridBench) -> None:
    for receipt in parsed(bench, raw(sample("events"))):
        assert (receipt.attempt_id, receipt.provider_message_id) == (ATTEMPT, "X1Y2Z3")
        assert receipt.occurred_at == datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)


async def test_unrelated_events_do_not_spoil_a_batch(bench: SendGridBench) -> None:
    receipts = parsed(bench, raw([*sample("not_ours"), sample("events")[2]]))
    assert [(receipt.attempt_id, receipt.kind) for receipt in receipts] == [
        (None, ReceiptKind.UNKNOWN),
        (None, ReceiptKind.BOUNCED),
        (ATTEMPT, ReceiptKind.DELIVERED),
    ]


async def test_a_repeated_event_with_new_ids_is_the_same_receipt(
    bench: SendGridBench,
) -> None:
    delivered, opened = sample("events")[2:4]
    again = {**delivered, "sg_event_id": "bmV3", "sg_message_id": "X1Y2Z3.recvd-other-2.0"}
    first, second, third = (
        stored("sendgrid", parsed(bench, raw([event]))[0]).id for event in (delivered, again, opened)
    )
    assert first == second
    assert first != third


ODD: list[Any] = [7, None, {}, {"event": "open"}, {"event": "open", "timestamp": "1e999"}, []]


@pytest.mark.parametrize("odd", [*ODD, {"event": "open", "timestamp": 10**30}, {"event": [], "timestamp": 1}], ids=str)
async def test_an_undocumented_event_does_not_fail_its_batch(bench: SendGridBench, odd: Any) -> None:
    delivered, opened = sample("events")[2:4]
    receipts = parsed(bench, raw([delivered, odd, opened]))
    assert [receipt.kind for receipt in receipts] == [ReceiptKind.DELIVERED, ReceiptKind.UNKNOWN, ReceiptKind.OPENED]
    assert receipts[1].raw == {"unreadable": odd}  # two different events are two receipts


async def test_an_undocumented_event_is_stored_without_values(bench: SendGridBench) -> None:
    """Any value may be the recipient's address. By the attempt id it is a receipt of the attempt."""
    attempt, address = UUID(int=1), "ada@example.com"
    odd = {"event": [address], "email": address, address: 1, "timestamp": 1, REFERENCE: str(attempt)}
    receipts = parsed(bench, raw([sample("events")[2], odd]))
    form = {"event": "list", "email": "str", "timestamp": "int", REFERENCE: "str"}
    assert (receipts[1].attempt_id, receipts[1].stored_raw) == (attempt, {"unreadable": form})


@pytest.mark.parametrize(
    ("odd", "kept"), [(b"NaN", None), (b"-Infinity", None), (rb'"half \ud83d"', "half ?"), (b'"\xed\xa0\xbd"', "?")]
)
async def test_an_unstorable_value_of_an_event_does_not_fail_the_batch(
    bench: SendGridBench, odd: bytes, kept: str | None
) -> None:
    delivered, opened = sample("events")[2:4]
    body = raw([{**delivered, "campaign": "HERE"}, opened]).replace(b'"HERE"', odd)
    first, second = parsed(bench, body)
    assert (first.kind, first.raw["campaign"], second.kind) == (ReceiptKind.DELIVERED, kept, ReceiptKind.OPENED)


@pytest.mark.parametrize("events", [[one] for one in ODD])
async def test_signed_events_that_are_none_are_unreadable(bench: SendGridBench, events: Any) -> None:
    with pytest.raises(UnreadableReceipt):
        parsed(bench, raw(events))


def test_the_limit_of_events_holds_the_largest_callback_of_the_vendor() -> None:
    """768 KB at once. A callback that is refused for a day is lost."""
    shortest = {"email": "a@b.co", "timestamp": 1700000000, "event": "open", REFERENCE: str(UUID(int=0))}
    shortest |= {"sg_event_id": "e" * 22, "sg_message_id": "m" * 40}
    size = len(json.dumps(shortest, separators=(",", ":")))
    assert SendGrid.max_events * size >= 768 * 1024
    assert SendGrid.max_events * (len(shortest) + 2) <= VALUE_LIMIT
