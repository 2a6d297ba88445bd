"""Test the events of SES: the kind, the reason and the attempt of each."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt, UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.ses.receipts import COPY_DIGEST, parse_event
from services.receipts import stored_receipt_of as stored

SAMPLES = Path(__file__).parent / "payloads" / "ses"
ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")
K = ReceiptKind


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def parsed(event: Any) -> ProviderReceipt:
    [receipt] = parse_event(json.dumps(event))
    return receipt


EVENTS: dict[str, tuple[ReceiptKind, str | None]] = {
    "send": (K.UNKNOWN, None),
    "delivery": (K.DELIVERED, None),
    "delivery_delay": (K.DELAYED, "technical_failure"),
    "open": (K.OPENED, None),
    "click": (K.CLICKED, None),
    "bounce": (K.BOUNCED, "invalid_address"),
    "complaint": (K.COMPLAINED, None),
    "complaint_suppressed": (K.FAILED, "complained_before"),
    "complaint_not_spam": (K.UNKNOWN, None),
    "reject": (K.FAILED, "content_blocked"),
    "rendering_failure": (K.FAILED, "bad_request"),
    "subscription": (K.UNSUBSCRIBED, None),
    "subscription_changed": (K.UNKNOWN, None),
    "feedback_notification": (K.BOUNCED, "invalid_address"),
}


def test_every_sample_has_a_meaning() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_its_meaning(name: str) -> None:
    event = sample(name)
    receipt = parsed(event)
    assert (receipt.kind, receipt.reason) == EVENTS[name]
    assert receipt.attempt_id == (None if name == "feedback_notification" else ATTEMPT)
    assert receipt.provider_message_id == event["mail"]["messageId"]
    has_own_time = name not in ("send", "reject", "rendering_failure")
    second, microsecond = (4, 133_000) if has_own_time else (0, 0)
    assert receipt.occurred_at == datetime(2026, 3, 1, 12, 0, second, microsecond, UTC)


def test_a_stored_event_does_not_repeat_the_headers_of_the_request() -> None:
    raw = parsed(sample("delivery")).raw
    assert "unsubscribe/token" not in json.dumps(raw)
    assert raw["delivery"] == sample("delivery")["delivery"]


def test_a_repeated_event_is_the_same_receipt() -> None:
    assert stored("ses", parsed(sample("bounce"))).id == stored("ses", parsed(sample("bounce"))).id


def test_the_test_message_of_a_new_topic_is_no_event() -> None:
    assert parse_event("Successfully validated SNS topic for Amazon SES event publishing.") == []


@pytest.mark.parametrize(
    "changed",
    [
        {"mail": None},
        {"mail": {}},
        {"eventType": ["Bounce"]},
        {"delivery": {"timestamp": "yesterday"}},
        {"delivery": {"timestamp": "0001-01-01T00:00:00+23:00"}},
    ],
)
def test_an_undocumented_event_is_unreadable(changed: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReceipt):
        parse_event(json.dumps(sample("delivery") | changed))


def with_copies(name: str, *addresses: str) -> Any:
    """Return the sample of an email with copies, about these addresses."""
    event = sample(name)
    mail = event["mail"] | {"destination": ["ada@example.com", "bob@example.com"]}
    mail["tags"] |= {COPY_DIGEST: [recipient_digest(ATTEMPT, "ada@example.com")]}
    for details in (value for key, value in event.items() if key not in ("mail", "eventType")):
        for field in ("recipients", "bouncedRecipients", "complainedRecipients", "delayedRecipients"):
            if field in details:
                entries = [{"emailAddress": each, "status": "5.1.1"} for each in addresses]
                details[field] = list(addresses) if field == "recipients" else entries
    return event | {"mail": mail}


@pytest.mark.parametrize("name", ["delivery", "bounce", "complaint"])
def test_an_event_about_a_copy_proves_nothing_about_the_recipient(name: str) -> None:
    assert parsed(with_copies(name, "Ada@example.com")).kind is EVENTS[name][0]
    about_copy = parsed(with_copies(name, "bob@example.com"))
    assert (about_copy.kind, about_copy.reason) == (K.UNKNOWN, None)


@pytest.mark.parametrize("name", ["delivery", "bounce"])
def test_an_event_about_several_addresses_counts_for_the_recipient(name: str) -> None:
    assert parsed(with_copies(name, "bob@example.com", "ada@example.com")).kind is EVENTS[name][0]


@pytest.mark.parametrize("name", ["open", "click"])
def test_an_action_of_one_of_several_recipients_proves_nothing(name: str) -> None:
    assert parsed(with_copies(name)).kind is K.UNKNOWN


def test_a_complaint_of_one_of_several_recipients_proves_nothing() -> None:
    assert parsed(with_copies("complaint", "ada@example.com", "bob@example.com")).kind is K.UNKNOWN


@pytest.mark.parametrize("name", ["reject", "rendering_failure"])
def test_a_rejected_email_fails_also_with_copies(name: str) -> None:
    receipt = parsed(with_copies(name))
    assert (receipt.kind, receipt.reason) == EVENTS[name]
