"""Parse the events of Mailgun's webhooks. Used by `adapter`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.evidence import ReceiptKind
from domain.json_types import Json
from providers.base import ProviderReceipt, parse_reference
from providers.email_fields import is_about_copy
from providers.mailgun.lookup import REFERENCE, message_id_of, variables_of, vendor_id_of
from providers.mailgun.options import COPY_DIGEST
from providers.mailgun.reasons import FAILURE_REASONS, receipt_reason

# https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types. `accepted` adds nothing.
RECEIPT_KINDS: Mapping[str, ReceiptKind] = {
    "delivered": ReceiptKind.DELIVERED,
    "opened": ReceiptKind.OPENED,
    "clicked": ReceiptKind.CLICKED,
    "complained": ReceiptKind.COMPLAINED,
    "unsubscribed": ReceiptKind.UNSUBSCRIBED,
    "rejected": ReceiptKind.FAILED,
}


def parse_event(event: Any, token: str) -> ProviderReceipt:
    variables = variables_of(event)
    attempt_id = parse_reference(str(variables.get(REFERENCE)))
    # A rejected message has no recipient: it concerns all of them.
    about_copy = "recipient" in event and is_about_copy(attempt_id, event["recipient"], variables.get(COPY_DIGEST))
    return ProviderReceipt(
        kind=ReceiptKind.UNKNOWN if about_copy else kind_of(event),
        occurred_at=datetime.fromtimestamp(event["timestamp"], UTC),
        attempt_id=attempt_id,
        provider_message_id=message_id_of(attempt_id, vendor_id_of(event)),
        reason=None if about_copy else receipt_reason(event),
        raw=event,
        token=token,
    )


def kind_of(event: Json) -> ReceiptKind:
    """Return the kind of an event, of which only `failed` has a severity."""
    if event["event"] != "failed":
        return RECEIPT_KINDS.get(event["event"], ReceiptKind.UNKNOWN)
    if event.get("severity") != "permanent":
        return ReceiptKind.DELAYED if event.get("severity") == "temporary" else ReceiptKind.UNKNOWN
    return ReceiptKind.FAILED if event.get("reason") in FAILURE_REASONS else ReceiptKind.BOUNCED
