"""Verify Mailgun's webhooks and parse their events. Used by `mailgun`."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.evidence import ReceiptKind
from domain.json_types import Json
from providers.base import ForgedReceipt, ProviderReceipt, parse_reference
from providers.email_fields import is_about_copy
from providers.mailgun.lookup import REFERENCE, message_id_of, variables_of, vendor_id_of
from providers.mailgun.options import COPY_DIGEST
from providers.mailgun.reasons import FAILURE_REASONS, receipt_reason

# Seconds. https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries: Mailgun repeats a
# callback for eight hours. It documents no new signature for a repeat.
REPEAT_PERIOD = 8 * 3600
# A time further in the future comes from a wrong clock.
CLOCK_TOLERANCE = 300

# https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types. `accepted` adds nothing.
RECEIPT_KINDS: Mapping[str, ReceiptKind] = {
    "delivered": ReceiptKind.DELIVERED,
    "opened": ReceiptKind.OPENED,
    "clicked": ReceiptKind.CLICKED,
    "complained": ReceiptKind.COMPLAINED,
    "unsubscribed": ReceiptKind.UNSUBSCRIBED,
    "rejected": ReceiptKind.FAILED,
}


def verify_callback(callback: Any, key: bytes) -> str:
    """Return the token of a genuine callback. Raises ForgedReceipt.

    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks: the signature covers a time
    and a random token, not the event. Who copies a callback could sign another event with it, so a receipt has the
    token, and the database stores one receipt for each token, for all API processes. What remains: a repeat of the
    same event changes nothing, and an intercepted callback that never arrived is good for one event. For a subaccount
    `parent-signature` is that of the account.
    """
    signature = callback.get("signature") if isinstance(callback, dict) else None
    fields = signature if isinstance(signature, dict) else {}
    timestamp, token = str(fields.get("timestamp")), fields.get("token")
    if not isinstance(token, str) or not token:
        raise ForgedReceipt("the signature is missing")
    expected = hmac.new(key, f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    given = (str(fields.get(name)).encode() for name in ("signature", "parent-signature"))
    if not any(hmac.compare_digest(expected.encode(), each) for each in given):
        raise ForgedReceipt("the signature does not match")
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise ForgedReceipt("the timestamp is not a number")
    if not -CLOCK_TOLERANCE <= time.time() - int(timestamp[:12]) <= REPEAT_PERIOD:
        raise ForgedReceipt("the timestamp is older than eight hours, or more than five minutes in the future")
    return token


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
