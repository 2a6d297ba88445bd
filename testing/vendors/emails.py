"""Describe an email as a vendor received it, the same for every vendor."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import getaddresses, parseaddr

# Headers that a vendor writes itself, or has as fields of its own.
FIELD_HEADERS = frozenset({"from", "to", "cc", "bcc", "reply-to", "subject", "date"})
BODY_HEADERS = ("content-", "mime-version")


@dataclass(frozen=True, kw_only=True)
class VendorEmail:
    """Hold an email. `sender` and `reply_to` are `(name, address)`; `headers` have lower-case names, and lack the
    addresses and the subject. An attachment is `(name, content type, content)`.
    """

    sender: tuple[str, str]
    to: list[str]
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)
    reply_to: tuple[str, str] | None = None
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]
    attachments: list[tuple[str, str, bytes]] = field(default_factory=list)


def email_of_mime(mail: EmailMessage, recipients: Iterable[str]) -> VendorEmail:
    """Read a MIME message. `recipients` are those of the envelope; those that no header names are blind copies."""
    to, cc = (_addresses(mail, name) for name in ("To", "Cc"))
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    return VendorEmail(
        sender=parseaddr(str(mail["From"])),
        to=to,
        cc=cc,
        bcc=[recipient for recipient in recipients if recipient not in to + cc],
        reply_to=parseaddr(str(mail["Reply-To"])) if mail["Reply-To"] else None,
        subject=str(mail["Subject"]),
        text=text.get_content().rstrip("\r\n") if isinstance(text, EmailMessage) else "",
        html=html.get_content().rstrip("\r\n") if isinstance(html, EmailMessage) else "",
        headers=lower_headers(mail.items()),
        attachments=[
            (part.get_filename() or "", part.get_content_type(), bytes(part.get_payload(decode=True) or b""))
            for part in mail.iter_attachments()
        ],
    )


def lower_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    named = {name.lower(): str(value) for name, value in headers}
    return {
        name: value for name, value in named.items() if name not in FIELD_HEADERS and not name.startswith(BODY_HEADERS)
    }


def _addresses(mail: EmailMessage, name: str) -> list[str]:
    return [address for _, address in getaddresses([str(value) for value in mail.get_all(name, [])])]
