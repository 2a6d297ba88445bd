"""Test the statuses of Vonage: the kind and the reason of each."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt, UnreadableReceipt
from services.receipts import stored_receipt_of as stored
from testing.vendors.modes import VendorMode
from tests.providers.harness_vonage import VonageBench, sample
from tests.providers.published_schemas import schema_problems


@pytest.fixture
async def bench() -> AsyncIterator[VonageBench]:
    async with VonageBench.running() as bench:
        yield bench


def receipts(bench: VonageBench, event: Any) -> list[ProviderReceipt]:
    body = json.dumps(event).encode()
    return bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


async def test_a_documented_status_is_a_receipt(bench: VonageBench) -> None:
    event = sample("delivered")
    assert schema_problems("vonage/messages", "messageStatusSMS", event) == []
    assert receipts(bench, event) == [
        ProviderReceipt(
            kind=ReceiptKind.DELIVERED,
            occurred_at=datetime(2025, 2, 3, 12, 14, 25, tzinfo=UTC),
            attempt_id=UUID(event["client_ref"]),
            provider_message_id=event["message_uuid"],
            raw=event,
        )
    ]


@pytest.mark.parametrize(
    ("changed", "kind", "reason"),
    [
        ({}, ReceiptKind.FAILED, "opted_out"),
        ({"status": "undeliverable", "error": {"title": 1331}}, ReceiptKind.FAILED, "technical_failure"),
        (
            {"error": {"type": "https://developer.vonage.com/api-errors/messages#1190"}},
            ReceiptKind.FAILED,
            "unknown_number",
        ),
        ({"error": {"title": "7777"}}, ReceiptKind.FAILED, "unknown_error"),
        ({"error": None}, ReceiptKind.FAILED, "unknown_error"),
        ({"status": "submitted", "error": {"title": "1220"}}, ReceiptKind.DELAYED, "unreachable"),
        ({"status": "submitted", "error": None}, ReceiptKind.UNKNOWN, None),
        ({"error": {"title": "1490"}}, ReceiptKind.UNKNOWN, None),
    ],
)
async def test_a_failed_message_has_the_reason_of_its_code(
    bench: VonageBench, changed: dict[str, Any], kind: ReceiptKind, reason: str | None
) -> None:
    event = sample("rejected")
    assert schema_problems("vonage/messages", "messageStatusSMS", event) == []
    [receipt] = receipts(bench, event | changed)
    assert (receipt.kind, receipt.reason) == (kind, reason)


@pytest.mark.parametrize(
    "changed",
    [
        {"timestamp": "today"},
        {"timestamp": "0001-01-01T00:00:00+14:00"},
        {"timestamp": 1},
        {"status": ["delivered"]},
        {"error": "1240"},
    ],
    ids=str,
)
async def test_a_status_in_another_form_is_unreadable(bench: VonageBench, changed: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReceipt):
        receipts(bench, sample("rejected") | changed)


async def test_each_status_of_a_message_is_stored_once(bench: VonageBench) -> None:
    events = [sample("delivered"), sample("delivered"), sample("delivered") | {"status": "submitted"}]
    ids = [stored("vonage", receipt).id for event in events for receipt in receipts(bench, event)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)


async def test_the_callbacks_of_the_fake_have_the_published_form(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    for status in ("submitted", "delivered", "rejected", "undeliverable"):
        event = json.loads(bench.report(status, message, "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", datetime.now(UTC)))
        assert schema_problems("vonage/messages", "messageStatusSMS", event) == []
