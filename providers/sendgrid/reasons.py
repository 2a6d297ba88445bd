"""Map the failures of SendGrid's events to reason codes. Used by `sendgrid`.

The free text of a bounce quotes addresses, so it is never a reason.
"""

from collections.abc import Mapping
from typing import Any

from domain.evidence import ReceiptKind
from domain.suppressions import GROUP_PREFIX
from providers.smtp import reasons

# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#dropped, without the text in brackets
DROP_REASONS: Mapping[str, str] = {
    "invalid smtpapi header": "bad_request",
    "spam content": "content_blocked",
    "unsubscribed address": "unsubscribed",
    "bounced address": "bounced_before",
    "spam reporting address": "complained_before",
    "invalid": "invalid_address",
    "recipient list over package quota": "quota_exceeded",
}
# https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/bounce-and-block-classifications. `Unclassified` has
# no cause: the status of the reply decides.
BOUNCE_CLASSIFICATIONS: Mapping[str, str] = {
    "invalid address": "invalid_address",
    "mailbox unavailable": "mailbox_unavailable",
    "technical failure": "technical_failure",
    "content": "content_blocked",
    "reputation": "reputation_blocked",
    "frequency or volume too high": "too_many_messages",
}
GROUP_EVENTS = ("group_unsubscribe", "group_resubscribe")
# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#bounces: a block concerns one message
BLOCKED_TYPE = "blocked"


def receipt_reason(event: Mapping[str, Any], kind: ReceiptKind) -> str | None:
    """Return why a message did not arrive or is late, or which unsubscribe group the recipient left or rejoined."""
    if kind in (ReceiptKind.DELAYED, ReceiptKind.BOUNCED, ReceiptKind.FAILED):
        return reason_of(event)
    group = event.get("asm_group_id")
    return f"{GROUP_PREFIX}{group}" if event["event"] in GROUP_EVENTS and isinstance(group, int) else None


def reason_of(event: Mapping[str, Any]) -> str | None:
    """Return the reason code, or None for an event without a cause. A block of one message proves nothing about the
    address.
    """
    drop_reason = DROP_REASONS.get(_normalize(event.get("reason")))
    classified_reason = BOUNCE_CLASSIFICATIONS.get(_normalize(event.get("bounce_classification")))
    status_reason = reasons.find_reason(str(event.get("status")))
    if event.get("type") == BLOCKED_TYPE and status_reason == "invalid_address":
        status_reason = "refused_recipient"
    return drop_reason or classified_reason or status_reason


def _normalize(value: Any) -> str:
    return str(value).partition("(")[0].strip().lower()
