"""Derive the fields that an email has at every vendor: its addresses, its headers and the marks of its copies."""

import re
from collections.abc import Mapping
from email.utils import parseaddr, quote
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.email_options import Mailbox
from domain.failure_reasons import ReasonCategory, category_of_code
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderRefusal

REFERENCE_HEADER = "X-Tocsin-Attempt"
# The last part identifies the sender to mailbox providers: https://support.google.com/a/answer/6254652
FEEDBACK_SENDER = "tocsin"
DIGEST_LENGTH = 24
NO_LABEL = re.compile(r"[^A-Za-z0-9-]+")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
# A name with one of them needs quotes (RFC 5322). Mail programs accept a dot without.
NAME_SPECIALS = re.compile(r'[()<>\[\]:;@\\,"]+')


def email_of(message: OutgoingMessage) -> str:
    """Return the recipient's address, with the domain in its ASCII form."""
    return str(message.address.get("email_ascii") or message.address["email"])


def sender_of(message: OutgoingMessage, email: str, name: str) -> Mailbox:
    """Return the sender: that of the notification type or the tenant, else the provider's own."""
    return message.email.sender or Mailbox(email=email, name=name)


def format_mailbox(mailbox: Mailbox) -> str:
    """Return `Name <address>` in Unicode, for a field of JSON. The name is in quotes if it needs them."""
    name = " ".join(CONTROL_CHARACTERS.sub(" ", mailbox.name).split())
    if not name:
        return mailbox.email
    return f'"{quote(name)}" <{mailbox.email}>' if NAME_SPECIALS.search(name) else f"{name} <{mailbox.email}>"


def find_refusal(content: Mapping[str, Any]) -> ProviderRefusal | None:
    """Return why no server should get this content: an empty subject, or no text in either part."""
    if not str(content.get("subject") or "").strip():
        return ProviderRefusal(reason="empty_subject")
    parts = (content.get("text"), content.get("html"))
    return None if any(str(part or "").strip() for part in parts) else ProviderRefusal(reason="empty_message")


def find_address_refusal(address: str) -> ProviderRefusal | None:
    """Return a refusal for an address that could end a header, or that contains an encoded word; otherwise None."""
    is_unsafe = not address.isprintable() or set(" <>") & set(address) or "=?" in address
    return ProviderRefusal(reason="invalid_address") if is_unsafe else None


def find_international_refusal(address: str) -> ProviderRefusal | None:
    """Return the refusal of a vendor that takes only ASCII addresses; None for such an address."""
    return None if address.isascii() else ProviderRefusal(reason="international_address_not_supported")


def reason_without_address(message: OutgoingMessage, reason: str) -> str:
    """Return the reason of an error that names no address: it proves nothing about one of several recipients."""
    is_ambiguous = message.email.has_copies and category_of_code(reason) is ReasonCategory.RECIPIENT
    return "bad_request" if is_ambiguous else reason


def build_headers(message: OutgoingMessage, sender_domain: str) -> dict[str, str]:
    """Return the headers other than addresses, subject and date.

    The Message-ID is that of the delivery, so that mail programs show a repeated email once.
    """
    headers = {
        **message.email.headers,
        "Message-ID": f"<{message.delivery_id}@{sender_domain}>",
        "Auto-Submitted": "auto-generated",
        "Feedback-ID": f"{message.notification_type.replace(':', '-')}:{message.tenant.hex}:{FEEDBACK_SENDER}",
        REFERENCE_HEADER: str(message.attempt_id),
    }
    if url := message.email.unsubscribe_url:
        headers |= {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        if "list-id" not in {name.lower() for name in headers}:
            headers["List-Id"] = f"<{_list_label(message)}.{sender_domain}>"
    return headers


def _list_label(message: OutgoingMessage) -> str:
    """Return a name of this type and tenant: spam filters expect a List-Id next to List-Unsubscribe (RFC 2919)."""
    return f"{NO_LABEL.sub('-', message.notification_type)}.{message.tenant.hex}"


def domain_of(email: str) -> str:
    return email.rpartition("@")[2]


def recipient_digest(attempt_id: UUID, email: str) -> str:
    """Return a digest of the recipient's address, for the vendor's metadata of an email with copies.

    Vendors report events of `cc` and `bcc` addresses with the same metadata.
    """
    address = parseaddr(email)[1].lower()
    return sha256(f"{attempt_id}:{address}".encode()).hexdigest()[:DIGEST_LENGTH]


def is_about_copy(attempt_id: UUID | None, email: object, digest: object) -> bool:
    """Return whether an event is about a `cc` or `bcc` address: it proves nothing about the recipient."""
    return bool(digest) and attempt_id is not None and digest != recipient_digest(attempt_id, str(email))
