"""Parse Twilio's status callbacks. Used by `adapter`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt, UnreadableReceipt, parse_reference
from providers.sms_message import ANSWER_REFERENCE, INBOUND_KINDS
from providers.twilio.callbacks import CallbackFields
from providers.twilio.reasons import find_failure_reason

# https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks `sent` adds nothing: a
# carrier has the message, and its arrival is not reported.
RECEIPT_KINDS: Mapping[str, ReceiptKind] = {
    "delivered": ReceiptKind.DELIVERED,
    "read": ReceiptKind.OPENED,
    "undelivered": ReceiptKind.BOUNCED,
    "failed": ReceiptKind.FAILED,
    "canceled": ReceiptKind.FAILED,
}
REPORTED_KINDS = frozenset({*RECEIPT_KINDS.values(), *INBOUND_KINDS})


def parse_status(fields: CallbackFields, reference: str | None) -> list[ProviderReceipt]:
    """Return the receipt; none for an answer of ours to an incoming message. Raises UnreadableReceipt."""
    if not fields.get("MessageSid") or "MessageStatus" not in fields:
        raise UnreadableReceipt("the body is not a status callback")
    if reference == ANSWER_REFERENCE:
        return []
    kind = RECEIPT_KINDS.get(fields["MessageStatus"], ReceiptKind.UNKNOWN)
    is_failure = kind in (ReceiptKind.BOUNCED, ReceiptKind.FAILED)
    receipt = ProviderReceipt(
        kind=kind,
        # The callback has no time.
        occurred_at=datetime.now(UTC),
        attempt_id=parse_reference(reference),
        provider_message_id=fields["MessageSid"],
        reason=find_failure_reason(fields) if is_failure else None,
        raw=dict(fields),
    )
    return [receipt]
