"""Parse the events that SES publishes about emails. Used by `ses`.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.evidence import ReceiptKind
from domain.json_types import Json
from providers.base import ProviderReceipt, UnreadableReceipt, parse_reference, read_json
from providers.email_fields import is_about_copy
from providers.ses.reasons import DELAY_REASONS, bounce_reason

# Names of message tags.
REFERENCE = "tocsin_attempt_id"
COPY_DIGEST = "tocsin_recipient"
# The only message without an event: the topic was connected to a configuration set.
TOPIC_TEST = "Successfully validated SNS topic for Amazon SES event publishing."
# The kind, the object with the details, and its list of recipients. `Send` and `DeliveryDelay` prove no arrival.
EVENTS: Mapping[str, tuple[ReceiptKind, str, str]] = {
    "Send": (ReceiptKind.UNKNOWN, "send", ""),
    "Delivery": (ReceiptKind.DELIVERED, "delivery", "recipients"),
    "DeliveryDelay": (ReceiptKind.DELAYED, "deliveryDelay", "delayedRecipients"),
    "Open": (ReceiptKind.OPENED, "open", ""),
    "Click": (ReceiptKind.CLICKED, "click", ""),
    "Bounce": (ReceiptKind.BOUNCED, "bounce", "bouncedRecipients"),
    "Complaint": (ReceiptKind.COMPLAINED, "complaint", "complainedRecipients"),
    "Reject": (ReceiptKind.FAILED, "reject", ""),
    "Rendering Failure": (ReceiptKind.FAILED, "failure", ""),
    "Subscription": (ReceiptKind.UNKNOWN, "subscription", ""),
}
REPORTED_KINDS = frozenset(kind for kind, _, _ in EVENTS.values()) - {ReceiptKind.UNKNOWN} | {ReceiptKind.UNSUBSCRIBED}
# Causes that concern the whole email, also one with copies. `Reject`: a virus.
EMAIL_REASONS: Mapping[str, str] = {"Reject": "content_blocked", "Rendering Failure": "bad_request"}
# Fields of `mail` that repeat the request.
REQUEST_FIELDS = ("headers", "commonHeaders", "headersTruncated")


def parse_event(text: str) -> list[ProviderReceipt]:
    if text.strip() == TOPIC_TEST:
        return []
    event = read_json(text.encode())
    try:
        return [_build_receipt(event)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnreadableReceipt("the message is not an event of SES") from error


def _build_receipt(event: Json) -> ProviderReceipt:
    # Feedback notifications, which need no configuration set, have the second name.
    term, mail = event.get("eventType") or event["notificationType"], event["mail"]
    default_kind, name, recipients = EVENTS.get(term, (ReceiptKind.UNKNOWN, "", ""))
    details: Json = event.get(name) or {}
    attempt_id = parse_reference(_tag(mail, REFERENCE))
    entry = {} if term in EMAIL_REASONS else _find_entry(term, details.get(recipients) or [], mail, attempt_id)
    kind, reason = (ReceiptKind.UNKNOWN, None) if entry is None else _find_kind(term, default_kind, details, entry)
    return ProviderReceipt(
        kind=kind,
        occurred_at=datetime.fromisoformat(details.get("timestamp") or mail["timestamp"]).astimezone(UTC),
        attempt_id=attempt_id,
        provider_message_id=mail["messageId"],
        reason=reason,
        raw=event | {"mail": {name: value for name, value in mail.items() if name not in REQUEST_FIELDS}},
    )


def _find_kind(term: str, kind: ReceiptKind, details: Json, entry: Json) -> tuple[ReceiptKind, str | None]:
    match term:
        case "Bounce":
            return kind, bounce_reason(details, str(entry.get("status")))
        case "DeliveryDelay":
            return kind, DELAY_REASONS.get(details["delayType"])
        case "Complaint" if details.get("complaintSubType") == "OnAccountSuppressionList":
            return ReceiptKind.FAILED, "complained_before"
        case "Complaint" if details.get("complaintFeedbackType") == "not-spam":
            return ReceiptKind.UNKNOWN, None
        case "Subscription" if details["newTopicPreferences"]["unsubscribeAll"] is True:
            return ReceiptKind.UNSUBSCRIBED, None
    return kind, EMAIL_REASONS.get(term)


def _find_entry(term: str, listed: list[Any], mail: Json, attempt_id: UUID | None) -> Json | None:
    """Return what the event lists about the recipient, {} if it lists nothing, or None if it may be about a copy: it
    names only copies, no address, or, as complaints do, each that may be meant.
    """
    entries = [{"emailAddress": each} if isinstance(each, str) else each for each in listed]
    if len(mail.get("destination") or []) <= 1:
        return entries[0] if entries else {}
    digest = _tag(mail, COPY_DIGEST)
    if digest is None or attempt_id is None or (term == "Complaint" and len(entries) > 1):
        return None
    return next((each for each in entries if not is_about_copy(attempt_id, each["emailAddress"], digest)), None)


def _tag(mail: Json, name: str) -> str | None:
    values: Any = (mail.get("tags") or {}).get(name)
    return str(values[0]) if values else None
