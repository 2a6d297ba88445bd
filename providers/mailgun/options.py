"""Build the form fields of a send, other than the MIME message. Used by `mailgun`.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
"""

from datetime import UTC, datetime
from typing import Any

from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import email_of, recipient_digest
from providers.mailgun.lookup import REFERENCE

# A variable of the events of an email with copies.
COPY_DIGEST = "tocsin_recipient"
# https://documentation.mailgun.com/docs/mailgun/user-manual/tracking-messages/track-tagging: ASCII, case-insensitive
MAX_TAGS = 3
MAX_TAG_LENGTH = 128
# Minutes, of `o:deliver-within`.
SHORTEST_WINDOW = 5
LONGEST_WINDOW = 24 * 60


def build_fields(message: OutgoingMessage) -> dict[str, Any]:
    """Return the fields. `to` is the envelope; the headers of the message name the copies."""
    fields: dict[str, Any] = {
        "to": [email_of(message), *message.email.cc, *message.email.bcc],
        f"v:{REFERENCE}": str(message.attempt_id),
    }
    if message.email.has_copies:
        fields[f"v:{COPY_DIGEST}"] = recipient_digest(message.attempt_id, email_of(message))
    if tags := tags_of(message):
        fields["o:tag"] = tags
    if not message.vendor_tracking:
        fields["o:tracking"] = "no"
    if window := delivery_window(message):
        fields["o:deliver-within"] = window
    return fields


def tags_of(message: OutgoingMessage) -> list[str]:
    valid_tags = (tag for tag in message.tags if tag.isascii() and 0 < len(tag) <= MAX_TAG_LENGTH)
    return list({tag.lower(): tag for tag in valid_tags}.values())[:MAX_TAGS]


def delivery_window(message: OutgoingMessage) -> str | None:
    """Return how long Mailgun may try, or None for its own schedule if the message expires after the longest window."""
    if message.expires_at is None:
        return None
    minutes = max(SHORTEST_WINDOW, int((message.expires_at - datetime.now(UTC)).total_seconds() // 60))
    return f"{minutes // 60}h{minutes % 60}m" if minutes <= LONGEST_WINDOW else None
