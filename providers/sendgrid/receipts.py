"""Parse the events of a SendGrid callback. Used by `adapter`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt, UnreadableReceipt, parse_reference
from providers.email_fields import is_about_copy
from providers.sendgrid.lookup import REFERENCE, message_id_of
from providers.sendgrid.options import COPY_DIGEST
from providers.sendgrid.reasons import receipt_reason
from providers.sendgrid.unreadable_events import build_unreadable_receipt

# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#events `processed` adds nothing: the message
# was accepted and has not arrived.
RECEIPT_KINDS: Mapping[str, ReceiptKind] = {
    "deferred": ReceiptKind.DELAYED,
    "delivered": ReceiptKind.DELIVERED,
    "open": ReceiptKind.OPENED,
    "click": ReceiptKind.CLICKED,
    "bounce": ReceiptKind.BOUNCED,
    "dropped": ReceiptKind.FAILED,
    "spamreport": ReceiptKind.COMPLAINED,
    "unsubscribe": ReceiptKind.UNSUBSCRIBED,
    "group_unsubscribe": ReceiptKind.UNSUBSCRIBED,
    "group_resubscribe": ReceiptKind.RESUBSCRIBED,
}


def parse_receipts(body: bytes) -> list[ProviderReceipt]:
    """Parse the events. An undocumented one does not fail the others. Raises UnreadableReceipt."""
    events = parse_events(body)
    receipts = [_try_parse_event(event) for event in events]
    if not any(receipts):
        raise UnreadableReceipt("the body is not a list of events")
    return [receipt or build_unreadable_receipt(event) for event, receipt in zip(events, receipts, strict=True)]


def _try_parse_event(event: Any) -> ProviderReceipt | None:
    try:
        return _parse_event(event)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return None


def _parse_event(event: dict[str, Any]) -> ProviderReceipt:
    attempt_id = parse_reference(str(event.get(REFERENCE)))
    kind = RECEIPT_KINDS.get(event["event"], ReceiptKind.UNKNOWN)
    if is_about_copy(attempt_id, event.get("email"), event.get(COPY_DIGEST)):
        kind = ReceiptKind.UNKNOWN
    message_id = message_id_of(event.get("sg_message_id"))
    return ProviderReceipt(
        kind=kind,
        occurred_at=datetime.fromtimestamp(event["timestamp"], UTC),
        attempt_id=attempt_id,
        provider_message_id=message_id,
        reason=receipt_reason(event, kind),
        # A repeated event has a new id: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
        raw={name: value for name, value in event.items() if name not in ("sg_event_id", "sg_message_id")}
        | {"sg_message_id": message_id},
    )


def parse_events(body: bytes) -> list[Any]:
    """Return the events in a form that Postgres can store: NaN becomes null, a lone surrogate becomes `?`."""
    try:
        parsed = json.loads(body, parse_constant=lambda _: None)
        events = json.loads(json.dumps(parsed, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise UnreadableReceipt("the body is not a list of events") from error
    if not isinstance(events, list) or not events:
        raise UnreadableReceipt("the body is not a list of events")
    return events
