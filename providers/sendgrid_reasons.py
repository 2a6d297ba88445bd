"""Why SendGrid did not deliver a message, from its event: used by `sendgrid`.

The free text of a bounce quotes addresses, so it is never a reason.
"""

from collections.abc import Mapping
from typing import Any

from domain.evidence import ReceiptKind
from domain.suppressions import GROUP
from providers import smtp_status

# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#dropped, without what stands in brackets
DROPPED: Mapping[str, str] = {
    "invalid smtpapi header": "bad_request",
    "spam content": "content_blocked",
    "unsubscribed address": "unsubscribed",
    "bounced address": "bounced_before",
    "spam reporting address": "complained_before",
    "invalid": "invalid_address",
    "recipient list over package quota": "quota_exceeded",
}
# https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/bounce-and-block-classifications. `Unclassified` says
# nothing: then the status of the reply does.
CLASSIFICATIONS: Mapping[str, str] = {
    "invalid address": "invalid_address",
    "mailbox unavailable": "mailbox_unavailable",
    "technical failure": "technical_failure",
    "content": "content_blocked",
    "reputation": "reputation_blocked",
    "frequency or volume too high": "too_many_messages",
}
GROUP_EVENTS = ("group_unsubscribe", "group_resubscribe")
# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#bounces: a block is of this one message
BLOCKED = "blocked"


def receipt_reason(event: Mapping[str, Any], kind: ReceiptKind) -> str | None:
    """Return why a message did not arrive, or which unsubscribe group the recipient has left or joined again."""
    if kind in (ReceiptKind.BOUNCED, ReceiptKind.FAILED):
        return reason_of(event)
    group = event.get("asm_group_id")
    return f"{GROUP}{group}" if event["event"] in GROUP_EVENTS and isinstance(group, int) else None


def reason_of(event: Mapping[str, Any]) -> str | None:
    """Return our code; None for an event that names no cause. What blocks one message proves nothing of the address."""
    dropped = DROPPED.get(_word(event.get("reason")))
    classified = CLASSIFICATIONS.get(_word(event.get("bounce_classification")))
    replied = smtp_status.reason_of(str(event.get("status")))
    if event.get("type") == BLOCKED and replied == "invalid_address":
        replied = "refused_recipient"
    return dropped or classified or replied


def _word(value: Any) -> str:
    return str(value).partition("(")[0].strip().lower()
