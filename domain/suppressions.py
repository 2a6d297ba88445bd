"""Addresses that must not be written to any more: why, and what a vendor has to say for one to become such an address.

Pure; `storage/receipts.py` and `deliver` ask it in the transaction that records what was said.
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
    """In order of gravity: of two that last equally long the later one stays. What a person said weighs more than what
    a mailbox did, and nothing that a vendor hears later takes back what an operator entered."""

    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    COMPLAINED = "complained"
    MANUAL = "manual"


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionFinding:
    """`vendor_reason` is the vendor's word for it, in ours. `group`: it is about this unsubscribe group of the vendor alone."""

    reason: SuppressionReason
    vendor_reason: str
    group: str | None = None


# The channels whose addresses are on the list, and the contact point of each. A dead push token is forgotten instead,
# and a webhook belongs to a machine.
CONTACT_BY_CHANNEL: dict[Channel, str] = {Channel.EMAIL: "email", Channel.SMS: "phone"}

S = SuppressionReason

# `group_10` is the reason of receipts about the vendor's unsubscribe group 10.
GROUP_PREFIX = "group_"

REASON_BY_RECEIPT_KIND: dict[ReceiptKind, S] = {
    ReceiptKind.COMPLAINED: S.COMPLAINED,
    ReceiptKind.UNSUBSCRIBED: S.OPTED_OUT,
}

# Of a message that came back, by the house word of its receipt: only what is definite about the address itself. A
# mailbox that is full, disabled or unavailable may be there again tomorrow, and a handset that is off will be;
# `landline` is also said of a carrier that a short code does not reach; content, reputation and rates are about us.
# Words that are not here, and receipts without one, prove nothing. `…_before` is the vendor's own list speaking.
REASON_BY_BOUNCE_CODE: dict[str, S] = {
    "invalid_address": S.BOUNCED,
    "unknown_number": S.BOUNCED,
    "bounced_before": S.BOUNCED,
    "complained_before": S.COMPLAINED,
    "unsubscribed": S.OPTED_OUT,
    "opted_out": S.OPTED_OUT,
}

# Of a refusal in the call itself. An address that a vendor or relay calls invalid there is not suppressed: nobody has
# been written to, the next message is told the same, and a relay that is set up wrong says it of everybody.
REASON_BY_REFUSAL_CODE: dict[str, S] = {"opted_out": S.OPTED_OUT}


def finding_from_receipt(kind: ReceiptKind, reason: str | None) -> SuppressionFinding | None:
    if kind in (ReceiptKind.BOUNCED, ReceiptKind.FAILED):
        return _finding(REASON_BY_BOUNCE_CODE.get(reason or ""), reason)
    found = _finding(REASON_BY_RECEIPT_KIND.get(kind), str(kind))
    return replace(found, group=reason) if found and is_group_receipt(kind, reason) else found


def is_group_receipt(kind: ReceiptKind, reason: str | None) -> bool:
    """Return whether a receipt says that the recipient has left a vendor's unsubscribe group, or joined it again."""
    return kind in (ReceiptKind.UNSUBSCRIBED, ReceiptKind.RESUBSCRIBED) and (reason or "").startswith(GROUP_PREFIX)


def suppression_source(provider: str, group: str | None) -> str:
    """Return the `source` of a suppression: what a group made is lifted by that group alone."""
    return f"{provider}/{group}" if group else provider


def finding_from_refusal(reason: str | None) -> SuppressionFinding | None:
    return _finding(REASON_BY_REFUSAL_CODE.get(reason or ""), reason)


def _finding(reason: SuppressionReason | None, vendor_reason: str | None) -> SuppressionFinding | None:
    return None if reason is None else SuppressionFinding(reason=reason, vendor_reason=vendor_reason or "")


def with_suppression_events(
    ledger: Ledger, attempt_id: UUID, findings: Sequence[SuppressionFinding], at: datetime
) -> Ledger:
    """The timeline of the message that it came out by says so too."""
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
