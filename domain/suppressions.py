"""Decide which reports of a vendor suppress an address.

Pure; `storage/receipts.py` and `deliver` apply it in the transaction that records the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.records import Ledger, TimelineEvent
from domain.stored_enums import StoredEnum


class SuppressionReason(StoredEnum):
    """The reasons in ascending order of weight. Of two suppressions that end at the same time, the one with the heavier
    reason stays: a recipient's decision outweighs a bounce, and no report of a vendor replaces an operator's entry."""

    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    COMPLAINED = "complained"
    MANUAL = "manual"


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionFinding:
    """Hold a reason. `vendor_reason` is our code for the vendor's report. `group`: it concerns this unsubscribe
    group of the vendor alone."""

    reason: SuppressionReason
    vendor_reason: str
    group: str | None = None


# The channels whose addresses are on the list, and the contact point of each. An invalid push token is removed instead,
# and a webhook belongs to a machine.
CONTACT_BY_CHANNEL: dict[Channel, str] = {Channel.EMAIL: "email", Channel.SMS: "phone"}

S = SuppressionReason

# `group_10` is the reason of receipts about the vendor's unsubscribe group 10.
GROUP_PREFIX = "group_"

REASON_BY_RECEIPT_KIND: dict[ReceiptKind, S] = {
    ReceiptKind.COMPLAINED: S.COMPLAINED,
    ReceiptKind.UNSUBSCRIBED: S.OPTED_OUT,
}

# By the code of a bounce: only what is definite about the address itself. A mailbox that is full, disabled or
# unavailable may exist again tomorrow, and a handset that is off will be on again; `landline` also means a carrier that
# a short code does not reach; content, reputation and rates are about us. Codes that are not listed, and receipts
# without one, prove nothing. `…_before` comes from the vendor's own list.
REASON_BY_BOUNCE_CODE: dict[str, S] = {
    "invalid_address": S.BOUNCED,
    "unknown_number": S.BOUNCED,
    "bounced_before": S.BOUNCED,
    "complained_before": S.COMPLAINED,
    "unsubscribed": S.OPTED_OUT,
    "opted_out": S.OPTED_OUT,
}

# By the reason of a refusal in the call itself. An address that a vendor or relay calls invalid there is not
# suppressed: nothing was sent, the next message gets the same refusal, and a relay with a wrong configuration refuses
# everything.
REASON_BY_REFUSAL_CODE: dict[str, S] = {"opted_out": S.OPTED_OUT}


def finding_from_receipt(kind: ReceiptKind, reason: str | None) -> SuppressionFinding | None:
    if kind in (ReceiptKind.BOUNCED, ReceiptKind.FAILED):
        return _finding(REASON_BY_BOUNCE_CODE.get(reason or ""), reason)
    found = _finding(REASON_BY_RECEIPT_KIND.get(kind), str(kind))
    return replace(found, group=reason) if found and is_group_receipt(kind, reason) else found


def is_group_receipt(kind: ReceiptKind, reason: str | None) -> bool:
    """Return whether a receipt reports that the recipient has left a vendor's unsubscribe group, or joined it again."""
    return kind in (ReceiptKind.UNSUBSCRIBED, ReceiptKind.RESUBSCRIBED) and (reason or "").startswith(GROUP_PREFIX)


def suppression_source(provider: str, group: str | None) -> str:
    """Return the `source` of a suppression: only the same group lifts what it made."""
    return f"{provider}/{group}" if group else provider


def finding_from_refusal(reason: str | None) -> SuppressionFinding | None:
    return _finding(REASON_BY_REFUSAL_CODE.get(reason or ""), reason)


def _finding(reason: SuppressionReason | None, vendor_reason: str | None) -> SuppressionFinding | None:
    return None if reason is None else SuppressionFinding(reason=reason, vendor_reason=vendor_reason or "")


def with_suppression_events(
    ledger: Ledger, attempt_id: UUID, findings: Sequence[SuppressionFinding], at: datetime
) -> Ledger:
    """Add the findings to the timeline of the message that caused them."""
    if not findings:
        return ledger
    attempt = ledger.attempts[attempt_id]
    channel = ledger.deliveries[attempt.delivery_id].channel
    events = (
        TimelineEvent(
            at=at,
            kind="suppressed_address",
            channel=channel,
            reason=finding.reason,
            detail={"provider": attempt.provider, "vendor_reason": finding.vendor_reason},
        )
        for finding in findings
    )
    return replace(ledger, events=(*ledger.events, *events))
