"""Parse the events of Resend's webhooks, one per callback. Used by `resend`.

https://resend.com/docs/webhooks/event-types
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from domain.evidence import ReceiptKind
from domain.json_types import Json
from providers.base import ProviderReceipt, UnreadableReceipt, parse_reference, read_json
from providers.email_fields import is_about_copy
from providers.resend.options import COPY_DIGEST, REFERENCE
from providers.resend.reasons import find_failure

# `sent` and `scheduled` prove no arrival.
RECEIPT_KINDS: Mapping[str, ReceiptKind] = {
    "email.delivered": ReceiptKind.DELIVERED,
    "email.delivery_delayed": ReceiptKind.DELAYED,
    "email.opened": ReceiptKind.OPENED,
    "email.clicked": ReceiptKind.CLICKED,
    "email.bounced": ReceiptKind.BOUNCED,
    "email.failed": ReceiptKind.FAILED,
    "email.suppressed": ReceiptKind.FAILED,
    "email.complained": ReceiptKind.COMPLAINED,
}
# Of an incoming email. Events without this prefix are about contacts, domains and other objects of the account.
RECEIVED, EMAIL_PREFIX = "email.received", "email."


def parse_event(body: bytes) -> list[ProviderReceipt]:
    """Return the receipt, or none for an event that is not about an email that was sent."""
    event = read_json(body)
    try:
        name = str(event["type"])
        is_ours = name.startswith(EMAIL_PREFIX) and name != RECEIVED
        return [_build_receipt(name, event)] if is_ours else []
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnreadableReceipt("the body is not a documented event") from error


def _build_receipt(name: str, event: Json) -> ProviderReceipt:
    data, occurred_at = event["data"], datetime.fromisoformat(event["created_at"])
    tags = data.get("tags") or {}
    attempt_id = parse_reference(str(tags.get(REFERENCE)))
    kind = RECEIPT_KINDS.get(name, ReceiptKind.UNKNOWN)
    return ProviderReceipt(
        kind=ReceiptKind.UNKNOWN if concerns_copies(attempt_id, data["to"], tags.get(COPY_DIGEST)) else kind,
        occurred_at=occurred_at if occurred_at.tzinfo else occurred_at.replace(tzinfo=UTC),
        attempt_id=attempt_id,
        provider_message_id=data["email_id"],
        reason=find_failure(name, data),
        raw=event,
    )


def concerns_copies(attempt_id: UUID | None, impacted: list[str], digest: object) -> bool:
    """Return whether an event concerns none but `cc` and `bcc` addresses."""
    return bool(digest) and all(is_about_copy(attempt_id, address, digest) for address in impacted)
