"""Add the request fields other than recipient and content. Used by `sendgrid`."""

import base64
from typing import Any

from domain.email_options import EmailAttachment, Mailbox
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import build_headers, domain_of, email_of, recipient_digest

# An argument of the events of an email with copies.
COPY_DIGEST = "tocsin_recipient"

# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: at most ten, of 255 characters each.
MAX_CATEGORIES = 10
MAX_CATEGORY_LENGTH = 255
# The account may have enabled these: they rewrite links, add a pixel, and add parameters to links.
NO_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "ganalytics": {"enable": False},
}


def add_options(mail: dict[str, Any], message: OutgoingMessage, sender: Mailbox) -> dict[str, Any]:
    """Return the request with the fields that depend on the options, the tags and the type of the message."""
    mail["headers"] = build_headers(message, domain_of(sender.email))
    if not message.vendor_tracking:
        mail["tracking_settings"] = NO_TRACKING
    if categories := categories_of(message):
        mail["categories"] = categories
    if reply_to := message.email.reply_to:
        mail["reply_to"] = {"email": reply_to.email} | ({"name": reply_to.name} if reply_to.name else {})
    if message.email.attachments:
        mail["attachments"] = [_attachment_field(attachment) for attachment in message.email.attachments]
    if message.email.has_copies:
        _add_copies(mail, message)
    return mail


def _add_copies(mail: dict[str, Any], message: OutgoingMessage) -> None:
    """Add the copies, and the digest that tells their events from those of the recipient."""
    [personalization] = mail["personalizations"]
    for name, addresses in (("cc", message.email.cc), ("bcc", message.email.bcc)):
        if addresses:
            personalization[name] = [{"email": address} for address in addresses]
    personalization["custom_args"][COPY_DIGEST] = recipient_digest(message.attempt_id, email_of(message))


def _attachment_field(attachment: EmailAttachment) -> dict[str, str]:
    content = base64.b64encode(attachment.content).decode()
    return {"content": content, "filename": attachment.name, "type": attachment.content_type}


def categories_of(message: OutgoingMessage) -> list[str]:
    """Return the tags that are valid SendGrid categories: one invalid category would fail the whole email."""
    valid_tags = (tag for tag in message.tags if tag.isascii() and 0 < len(tag) <= MAX_CATEGORY_LENGTH)
    return list(dict.fromkeys(valid_tags))[:MAX_CATEGORIES]
