"""Test the events of Resend: the kind, the reason and the attempt of each."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.evidence import ReceiptKind
from providers.base import UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.resend.options import COPY_DIGEST, REFERENCE
from tests.providers.harness_resend import (
    EVENTS,
    ResendBench,
    parsed,
    problems,
    raw,
)

ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")


@pytest.fixture
async def bench() -> AsyncIterator[ResendBench]:
    async with ResendBench.running() as bench:
        yield bench


K = ReceiptKind
EXPECTED_KINDS = {
    "sent": (K.UNKNOWN, None),
    "scheduled": (K.UNKNOWN, None),
    "delivery_delayed": (K.DELAYED, None),
    "delivered": (K.DELIVERED, None),
    "opened": (K.OPENED, None),
    "clicked": (K.CLICKED, None),
    "bounced": (K.BOUNCED, "invalid_address"),
    "complained": (K.COMPLAINED, None),
    "failed": (K.FAILED, "quota_exceeded"),
    "suppressed": (K.FAILED, "bounced_before"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_each_sample_satisfies_the_published_schema(name: str) -> None:
    title = "".join(word.capitalize() for word in name.split("_"))
    assert problems(f"Email{title}Event", EVENTS[name]) == []


@pytest.mark.parametrize("name", EVENTS)
async def test_each_documented_event_is_a_receipt_of_the_attempt(bench: ResendBench, name: str) -> None:
    [receipt] = parsed(bench, raw(EVENTS[name]))
    assert (receipt.kind, receipt.reason) == EXPECTED_KINDS[name]
    assert (receipt.attempt_id, receipt.provider_message_id) == (ATTEMPT, EVENTS[name]["data"]["email_id"])
    assert receipt.occurred_at == datetime(2026, 11, 22, 23, 41, 12, 126_000, tzinfo=UTC)
    assert receipt.raw == EVENTS[name]


@pytest.mark.parametrize(
    ("kind", "sub_type", "replies", "reason"),
    [
        ("Permanent", "General", ["smtp; 550 5.1.1 user unknown"], "invalid_address"),
        ("Permanent", "General", ["smtp; 550 5.7.1 <ada@example.com> refused"], "refused_by_policy"),
        ("Permanent", "General", [], "refused_recipient"),
        ("Permanent", "General", ["smtp; 550 5.1.1 a", "smtp; 550 5.1.1 b"], "refused_recipient"),
        ("Permanent", "NoEmail", None, "refused_recipient"),
        ("Permanent", "Suppressed", None, "bounced_before"),
        ("Transient", "General", ["smtp; 550 5.1.1 user unknown"], "refused_recipient"),
        ("Transient", "General", [], "unknown_error"),
        ("Transient", "MailboxFull", ["smtp; 552 5.2.2 full"], "mailbox_full"),
        ("Transient", "MessageTooLarge", [], "too_large"),
        ("Transient", "ContentRejected", [], "content_refused"),
        ("Transient", "AttachmentRejected", [], "content_refused"),
        ("Undetermined", "Undetermined", [], "unknown_error"),
        ("New", "New", ["no status"], "unknown_error"),
    ],
)
async def test_a_bounce_has_the_reason_of_its_type_or_of_the_reply(
    bench: ResendBench, kind: str, sub_type: str, replies: list[str] | None, reason: str
) -> None:
    bounce = {"type": kind, "subType": sub_type, "message": "ada@example.com", "diagnosticCode": replies}
    event = {**EVENTS["bounced"], "data": {**EVENTS["bounced"]["data"], "bounce": bounce}}
    [receipt] = parsed(bench, raw(event))
    assert receipt.reason == reason


@pytest.mark.parametrize(
    ("name", "details", "reason"),
    [
        ("suppressed", {"reason": "previous_complaint"}, "complained_before"),
        ("suppressed", {"type": "OnAccountSuppressionList"}, "refused_recipient"),
        ("suppressed", None, "refused_recipient"),
        ("failed", {"reason": "something_new"}, "unknown_error"),
        ("failed", None, "unknown_error"),
        ("bounced", None, "unknown_error"),
    ],
)
async def test_a_failure_without_a_known_cause_suppresses_nothing(
    bench: ResendBench, name: str, details: Any, reason: str
) -> None:
    field = {"suppressed": "suppressed", "failed": "failed", "bounced": "bounce"}[name]
    event = {**EVENTS[name], "data": {**EVENTS[name]["data"], field: details}}
    [receipt] = parsed(bench, raw(event))
    assert receipt.reason == reason


@pytest.mark.parametrize(
    ("impacted", "kind"),
    [
        (["Ada <ADA@example.com>"], K.BOUNCED),
        (["ada@example.com", "bob@example.com"], K.BOUNCED),
        (["bob@example.com"], K.UNKNOWN),
        ([], K.UNKNOWN),
    ],
)
async def test_an_event_about_a_copy_proves_nothing(bench: ResendBench, impacted: list[str], kind: ReceiptKind) -> None:
    tags = {REFERENCE: str(ATTEMPT), COPY_DIGEST: recipient_digest(ATTEMPT, "ada@example.com")}
    event = {**EVENTS["bounced"], "data": {**EVENTS["bounced"]["data"], "to": impacted, "tags": tags}}
    [receipt] = parsed(bench, raw(event))
    assert receipt.kind is kind


@pytest.mark.parametrize("tags", [None, {}, {REFERENCE: "another system's"}])
async def test_an_email_of_another_sender_is_matched_by_its_id_alone(bench: ResendBench, tags: Any) -> None:
    event = {**EVENTS["delivered"], "data": {**EVENTS["delivered"]["data"], "tags": tags}}
    [receipt] = parsed(bench, raw(event))
    assert (receipt.attempt_id, receipt.provider_message_id) == (None, event["data"]["email_id"])


@pytest.mark.parametrize("name", ["email.received", "contact.created", "domain.updated", "suppression.added"])
async def test_events_that_are_not_about_a_sent_email_are_not_stored(bench: ResendBench, name: str) -> None:
    assert parsed(bench, raw({"type": name, "created_at": "2026-11-22T23:41:12.126Z", "data": {}})) == []


@pytest.mark.parametrize("missing", ["created_at", "data", "email_id", "to"])
async def test_an_event_without_a_documented_field_is_unreadable(bench: ResendBench, missing: str) -> None:
    event = json.loads(json.dumps(EVENTS["delivered"]))
    (event["data"] if missing in event["data"] and missing != "created_at" else event).pop(missing)
    with pytest.raises(UnreadableReceipt):
        parsed(bench, raw(event))


async def test_a_repeated_event_is_the_same_receipt(bench: ResendBench) -> None:
    """Each repetition has a signature of its own."""
    body = raw(EVENTS["delivered"])
    assert parsed(bench, body) == parsed(bench, body, datetime.now(UTC) - timedelta(minutes=2))
    other = {**EVENTS["delivered"], "data": {**EVENTS["delivered"]["data"], "email_id": str(uuid4())}}
    assert parsed(bench, body) != parsed(bench, raw(other))
