"""Test which reports suppress an address."""

from datetime import UTC, datetime

import pytest

from domain.evidence import ReceiptKind
from domain.suppressions import (
    SuppressionFinding,
    SuppressionReason,
    finding_from_receipt,
    finding_from_refusal,
    with_suppression_events,
)
from tests.domain.ledgers import attempt, delivery, ledger

B, O, C = SuppressionReason.BOUNCED, SuppressionReason.OPTED_OUT, SuppressionReason.COMPLAINED  # noqa: E741
K = ReceiptKind

DELIVERY = delivery()
CALL = attempt(DELIVERY)


@pytest.mark.parametrize("kind", [K.BOUNCED, K.FAILED])
@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("invalid_address", B),
        ("unknown_number", B),
        ("bounced_before", B),
        ("complained_before", C),
        ("unsubscribed", O),
        ("opted_out", O),
        # Temporary conditions of the address.
        *[(word, None) for word in ("mailbox_unavailable", "mailbox_full", "mailbox_disabled", "unreachable")],
        # Also reported for a number that a short code does not reach.
        ("landline", None),
        # Reports about us, or about this message.
        *[(word, None) for word in ("content_blocked", "reputation_blocked", "too_many_messages", "blocked")],
        *[(word, None) for word in ("technical_failure", "unknown_error", "bounced", "failed", "", None)],
    ],
)
def test_a_bounced_message_suppresses_only_definite_reasons(
    kind: ReceiptKind, word: str | None, reason: SuppressionReason | None
) -> None:
    found = finding_from_receipt(kind, word)
    assert found == (None if reason is None else SuppressionFinding(reason=reason, vendor_reason=str(word)))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (K.COMPLAINED, C),
        (K.UNSUBSCRIBED, O),
        (K.DELIVERED, None),
        (K.OPENED, None),
        (K.CLICKED, None),
        (K.UNKNOWN, None),
    ],
)
def test_complaints_and_opt_outs_need_no_reason_and_the_rest_has_none(
    kind: ReceiptKind, reason: SuppressionReason | None
) -> None:
    for word in (None, "invalid_address"):
        found = finding_from_receipt(kind, word)
        assert found == (None if reason is None else SuppressionFinding(reason=reason, vendor_reason=str(kind)))


def test_of_refusals_only_an_opt_out_suppresses() -> None:
    assert finding_from_refusal("opted_out") == SuppressionFinding(reason=O, vendor_reason="opted_out")
    for word in ("invalid_address", "refused_recipient", "mailbox_disabled", "unsubscribed", "", None):
        assert finding_from_refusal(word) is None


def test_opt_outs_outweigh_bounces_and_operators_outweigh_both() -> None:
    assert list(SuppressionReason) == [B, O, C, SuppressionReason.MANUAL]


def test_the_timeline_shows_the_finding_and_its_reporter() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    before = ledger(DELIVERY, CALL)
    after = with_suppression_events(
        before, CALL.id, [SuppressionFinding(reason=B, vendor_reason="invalid_address")], at
    )
    [event] = after.events[len(before.events) :]
    assert (event.at, event.kind, event.channel, event.reason) == (
        at,
        "suppressed_address",
        DELIVERY.channel,
        "bounced",
    )
    assert event.detail == {"provider": CALL.provider, "vendor_reason": "invalid_address"}
    assert with_suppression_events(before, CALL.id, [], at) is before
