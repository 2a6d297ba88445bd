"""Map the failures that Resend's events report to reason codes. Used by `resend`.

Their texts quote addresses, so they are never a reason.
"""

import re
from collections.abc import Mapping
from typing import Any

from providers.smtp.reasons import find_reason

# https://resend.com/docs/dashboard/emails/email-bounces and https://resend.com/docs/webhooks/emails/bounced
BOUNCE_REASONS: Mapping[str, str] = {
    "MailboxFull": "mailbox_full",
    "MessageTooLarge": "too_large",
    "ContentRejected": "content_refused",
    "AttachmentRejected": "content_refused",
    "Suppressed": "bounced_before",
}
BOUNCE_TYPE_REASONS: Mapping[str, str] = {"Permanent": "refused_recipient"}
# The fields of this event and of `email.failed` are those of https://github.com/resend/resend-openapi
SUPPRESSION_REASONS: Mapping[str, str] = {
    "previous_bounce": "bounced_before",
    "previous_complaint": "complained_before",
}
FAILURE_REASONS: Mapping[str, str] = {"reached_daily_quota": "quota_exceeded"}
UNKNOWN_ERROR = "unknown_error"
ENHANCED_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}(?!\S)", re.ASCII)


def find_failure(name: str, data: Mapping[str, Any]) -> str | None:
    """Return why the email did not arrive, or None if the event reports something else."""
    match name:
        case "email.bounced":
            return find_bounce_reason(data.get("bounce") or {})
        case "email.suppressed":
            return SUPPRESSION_REASONS.get(str((data.get("suppressed") or {}).get("reason")), "refused_recipient")
        case "email.failed":
            return FAILURE_REASONS.get(str((data.get("failed") or {}).get("reason")), UNKNOWN_ERROR)
    return None


def find_bounce_reason(bounce: Mapping[str, Any]) -> str:
    """Return the reason by the sub-type, else by the status in the reply of the recipient's server, else by the type.

    An address is invalid only if the bounce is permanent. Replies to several recipients prove nothing about one.
    """
    by_type = BOUNCE_TYPE_REASONS.get(str(bounce.get("type")), UNKNOWN_ERROR)
    replies = bounce.get("diagnosticCode") or []
    status = ENHANCED_STATUS.search(str(replies[0])) if len(replies) == 1 else None
    by_status = find_reason(status[0]) if status else None
    if by_status == "invalid_address" and by_type == UNKNOWN_ERROR:
        by_status = "refused_recipient"
    return BOUNCE_REASONS.get(str(bounce.get("subType"))) or by_status or by_type
