"""Build MIME messages: headers safe from injection, and bodies in seven bits."""

import re
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from domain.email_options import EmailAttachment
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import build_headers

LINE_LIMIT = 998
UNPARSED_HEADERS = ("Subject", "To", "Cc")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
# One space, and the 75 characters that an encoded word may have (RFC 2047).
ENCODED_WORD_LIMIT = 76


class UnparsedHeaderPolicy(policy.EmailPolicy):
    """Treat user-controlled headers, the subject and the address, as plain text.

    Python would decode encoded words in them, and a line break hidden in one would start a new header. Other ASCII
    headers are not folded, because folding breaks long URLs.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return (name, value) if name in UNPARSED_HEADERS else super().header_store_parse(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        if name in UNPARSED_HEADERS:
            return f"{name}: {self._encode_subject(value) if name == 'Subject' else value}{self.linesep}".encode()
        if self.max_line_length != LINE_LIMIT and str(value).isascii():
            return self.clone(max_line_length=LINE_LIMIT).fold_binary(name, value)
        return super().fold_binary(name, value)

    def _encode_subject(self, value: str) -> str:
        if value.isascii() and "=?" not in value and len(value) < LINE_LIMIT - len("Subject: "):
            return value
        return Header(value, "utf-8", maxlinelen=ENCODED_WORD_LIMIT, header_name="Subject").encode(linesep=self.linesep)


# Bodies in seven bits: some servers do not accept eight.
ASCII_POLICY = UnparsedHeaderPolicy(linesep="\r\n", raise_on_defect=True, cte_type="7bit")
INTERNATIONAL_POLICY = ASCII_POLICY.clone(utf8=True)


def build_email(message: OutgoingMessage, sender: Address, address: str) -> EmailMessage:
    """Build the email, plain text first, then HTML, then the attachments.

    `send` has already checked `address`. Blind copies are in the envelope only.
    """
    email_message = EmailMessage(policy=ASCII_POLICY if address.isascii() else INTERNATIONAL_POLICY)
    email_message["From"] = sender
    email_message["To"] = address
    if message.email.cc:
        email_message["Cc"] = ", ".join(message.email.cc)
    if reply_to := message.email.reply_to:
        email_message["Reply-To"] = Address(reply_to.name, addr_spec=reply_to.email)
    email_message["Subject"] = CONTROL_CHARACTERS.sub(" ", message.content["subject"])
    email_message["Date"] = format_datetime(datetime.now(UTC))
    for name, value in build_headers(message, sender.domain).items():
        email_message[name] = value
    email_message.set_content(message.content["text"])
    if message.content.get("html"):
        email_message.add_alternative(message.content["html"], subtype="html")
    for attachment in message.email.attachments:
        _attach(email_message, attachment)
    return email_message


def _attach(email_message: EmailMessage, attachment: EmailAttachment) -> None:
    maintype, _, subtype = attachment.content_type.partition("/")
    email_message.add_attachment(attachment.content, maintype=maintype, subtype=subtype, filename=attachment.name)
