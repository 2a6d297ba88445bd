"""Build the request of an email. Used by `resend`.

https://resend.com/docs/api-reference/emails/send-email
"""

import base64
import re
from dataclasses import replace
from typing import Any

from domain.email_options import EmailAttachment, Mailbox
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import (
    CONTROL_CHARACTERS,
    NAME_SPECIALS,
    build_headers,
    domain_of,
    email_of,
    format_mailbox,
    recipient_digest,
)

# Tags of the events: the attempt, and for an email with copies the digest of its recipient.
REFERENCE = "tocsin_attempt_id"
COPY_DIGEST = "tocsin_recipient"
# https://resend.com/docs/dashboard/emails/tags
MAX_TAGS = 75
TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


def build_request(message: OutgoingMessage, sender: Mailbox) -> dict[str, Any]:
    """Return the fields, which are the same for every call with the same message. Empty ones are omitted."""
    email = message.email
    fields = {
        "from": format_without_quotes(sender),
        "to": [email_of(message)],
        "cc": list(email.cc),
        "bcc": list(email.bcc),
        "reply_to": [format_without_quotes(email.reply_to)] if email.reply_to else [],
        "subject": CONTROL_CHARACTERS.sub(" ", message.content["subject"]),
        "html": message.content.get("html"),
        "text": message.content.get("text"),
        "headers": build_headers(message, domain_of(sender.email)),
        "attachments": [_attachment_field(attachment) for attachment in email.attachments],
        "tags": [{"name": name, "value": value} for name, value in build_tags(message).items()],
    }
    return {name: value for name, value in fields.items() if value}


def build_tags(message: OutgoingMessage) -> dict[str, str]:
    """Return our own tags, and those of the message that are valid: an invalid one would fail the whole email."""
    own = {REFERENCE: str(message.attempt_id)}
    if message.email.has_copies:
        own[COPY_DIGEST] = recipient_digest(message.attempt_id, email_of(message))
    valid_tags = list(dict.fromkeys(tag for tag in message.tags if TAG.fullmatch(tag) and tag not in own))
    return own | dict.fromkeys(valid_tags[: MAX_TAGS - len(own)], "true")


def format_without_quotes(mailbox: Mailbox) -> str:
    """Return `Name <address>`, the documented form. A quoted or encoded name is refused:
    https://github.com/anymail/django-anymail/blob/main/anymail/backends/resend.py
    """
    return format_mailbox(replace(mailbox, name=NAME_SPECIALS.sub(" ", mailbox.name)))


def _attachment_field(attachment: EmailAttachment) -> dict[str, str]:
    content = base64.b64encode(attachment.content).decode()
    return {"filename": attachment.name, "content": content, "content_type": attachment.content_type}
