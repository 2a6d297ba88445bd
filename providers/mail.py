"""An e-mail as `smtp` hands it over: headers that nobody can add to, and bodies in seven bits."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from domain.outgoing import Message
from providers.outcomes import Refused

LINE_LIMIT = 998
REFERENCE = "X-Tocsin-Attempt"
GIVEN = ("Subject", "To")
BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
# A blank, and the 75 characters that an encoded word may have (RFC 2047).
ENCODED_LIMIT = 76


class Verbatim(policy.EmailPolicy):
    """What people influence, the subject and their address, is not read as a header's source: Python would decode
    encoded words in it, and a line break that hides in one starts a header. Of the rest, values in ASCII are not
    folded, because that breaks long URLs."""

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return (name, value) if name in GIVEN else super().header_store_parse(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        if name in GIVEN:
            return f"{name}: {self._subject(value) if name == 'Subject' else value}{self.linesep}".encode()
        if self.max_line_length != LINE_LIMIT and str(value).isascii():
            return self.clone(max_line_length=LINE_LIMIT).fold_binary(name, value)
        return super().fold_binary(name, value)

    def _subject(self, value: str) -> str:
        if value.isascii() and "=?" not in value and len(value) < LINE_LIMIT - len("Subject: "):
            return value
        return Header(value, "utf-8", maxlinelen=ENCODED_LIMIT, header_name="Subject").encode(linesep=self.linesep)


# Bodies in seven bits: not every server takes eight.
ASCII_MAIL = Verbatim(linesep="\r\n", raise_on_defect=True, cte_type="7bit")
INTERNATIONAL_MAIL = ASCII_MAIL.clone(utf8=True)


def refusal_of(content: Mapping[str, Any]) -> Refused | None:
    """Return why no server should get this: an empty subject, or no text in either part."""
    if not str(content.get("subject") or "").strip():
        return Refused(reason="empty_subject")
    parts = (content.get("text"), content.get("html"))
    return None if any(str(part or "").strip() for part in parts) else Refused(reason="empty_message")


def mail_of(message: Message, sender: Address, address: str) -> EmailMessage:
    """The text first and the HTML as its better. `address` is one that `send` has looked at. The Message-ID is that of
    the delivery, so that mail programs show a mail that had to be sent again once."""
    mail = EmailMessage(policy=ASCII_MAIL if address.isascii() else INTERNATIONAL_MAIL)
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = BREAKS.sub(" ", message.content["subject"])
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message.delivery_id}@{sender.domain}>"
    mail[REFERENCE] = str(message.attempt_id)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.content["text"])
    if message.content.get("html"):
        mail.add_alternative(message.content["html"], subtype="html")
    return mail
