"""Record an undocumented event by the types of its fields, because each value may be personal. Used by `receipts`."""

from datetime import UTC, datetime
from typing import Any

import structlog

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt, parse_reference
from providers.sendgrid.lookup import REFERENCE
from providers.sendgrid.options import COPY_DIGEST

log = structlog.get_logger(__name__)

# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#event-objects. Other names may be arguments
# of other senders of the same account.
DOCUMENTED_FIELDS = frozenset(
    {
        *("asm_group_id", "attempt", "bounce_classification", "category", "email", "event", "ip", "newsletter"),
        *("pool", "reason", "response", "send_at", "sg_content_type", "sg_event_id", "sg_machine_open"),
        *("sg_message_id", "sg_template_id", "smtp-id", "status", "timestamp", "tls", "type", "url", "url_offset"),
        *("useragent", REFERENCE, COPY_DIGEST),
    }
)


def build_unreadable_receipt(event: Any) -> ProviderReceipt:
    """Return a receipt of kind `unknown`. Neither the log nor the row has a value of the event: each may be
    personal.
    """
    log.warning("an event of a callback cannot be read", provider="sendgrid")
    reference = event.get(REFERENCE) if isinstance(event, dict) else None
    return ProviderReceipt(
        kind=ReceiptKind.UNKNOWN,
        occurred_at=datetime.now(UTC),
        attempt_id=parse_reference(str(reference)),
        raw={"unreadable": event},
        stored_raw={"unreadable": field_types(event)},
    )


def field_types(event: Any) -> Any:
    """Return the documented fields with the types of their values."""
    if not isinstance(event, dict):
        return type(event).__name__
    return {name: type(value).__name__ for name, value in event.items() if name in DOCUMENTED_FIELDS}
