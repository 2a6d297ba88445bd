"""Parse Vonage's callbacks: the status of a sent message, and the incoming message of a recipient."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.evidence import ReceiptKind
from domain.json_types import Json
from providers.base import ProviderReceipt, UnreadableReceipt, parse_reference, read_json
from providers.sms_message import ANSWER_REFERENCE, INBOUND_KINDS
from providers.vonage.inbound import parse_inbound
from providers.vonage.reasons import REASONS, find_code

# https://developer.vonage.com/en/api/messages#message-status: `submitted` proves no arrival.
RECEIPT_KINDS: Mapping[str, ReceiptKind] = {
    "delivered": ReceiptKind.DELIVERED,
    "rejected": ReceiptKind.FAILED,
    "undeliverable": ReceiptKind.FAILED,
}
REPORTED_KINDS = frozenset({ReceiptKind.DELAYED, *RECEIPT_KINDS.values(), *INBOUND_KINDS})
# https://developer.vonage.com/en/api-errors/messages: 1220 is attempted again; of 1490 some segments may have arrived.
EXCEPTIONS: Mapping[tuple[str, str], ReceiptKind] = {
    ("submitted", "1220"): ReceiptKind.DELAYED,
    ("rejected", "1490"): ReceiptKind.UNKNOWN,
    ("undeliverable", "1490"): ReceiptKind.UNKNOWN,
}


def parse_callback(body: bytes) -> list[ProviderReceipt]:
    """Return the receipt of a status or of an incoming message, and nothing for the status of an answer."""
    event = read_json(body)
    try:
        occurred_at = datetime.fromisoformat(event["timestamp"]).astimezone(UTC)
        if "status" not in event:
            return parse_inbound(event, occurred_at)
        return [] if event.get("client_ref") == ANSWER_REFERENCE else [parse_status(event, occurred_at)]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UnreadableReceipt("the body is neither a message status nor an incoming message") from error


def parse_status(event: Json, occurred_at: datetime) -> ProviderReceipt:
    """https://developer.vonage.com/en/api/messages#message-status"""
    code = find_code(event.get("error") or {})
    kind = EXCEPTIONS.get((event["status"], code)) or RECEIPT_KINDS.get(event["status"], ReceiptKind.UNKNOWN)
    return ProviderReceipt(
        kind=kind,
        occurred_at=occurred_at,
        attempt_id=parse_reference(event.get("client_ref")),
        provider_message_id=event["message_uuid"],
        reason=REASONS.get(code, "unknown_error") if kind in (ReceiptKind.FAILED, ReceiptKind.DELAYED) else None,
        raw=event,
    )
