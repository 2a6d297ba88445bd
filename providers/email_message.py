"""Build MIME messages: headers safe from injection, and bodies in seven bits."""

from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, quote
from typing import Any

from domain.email_options import EmailAttachment
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import CONTROL_CHARACTERS, build_headers

LINE_END = "\r\n"
LINE_LIMIT = 998
# Of the structure of the message: only Tocsin sets them.
PARSED_PREFIXES = ("content-", "mime-")
ADDRESS_HEADERS = ("From", "To", "Cc", "Reply-To")
# One space, and the 75 characters that an encoded word may have (RFC 2047).
ENCODED_WORD_LIMIT = 76


class PlainHeaderPolicy(policy.EmailPolicy):
    """Treat headers as plain text, except those of the MIME structure.

    Python would decode encoded words in them, and a line break hidden in one would start a new header. It would also
    fold them, which breaks long URLs.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return super().header_store_parse(name, value) if _is_parsed(name) else (name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        if _is_parsed(name):
            return super().fold_binary(name, value)
        is_long = len(value) >= LINE_LIMIT - len(f"{name}: ")
        if name not in ADDRESS_HEADERS and (is_long or not value.isascii() or (name == "Subject" and "=?" in value)):
            value = encode_words(name, value)
        return f"{name}: {value}{self.linesep}".encode()


def _is_parsed(name: str) -> bool:
    return name.lower().startswith(PARSED_PREFIXES)


def encode_words(header: str, text: str) -> str:
    return Header(text, "utf-8", maxlinelen=ENCODED_WORD_LIMIT, header_name=header).encode(linesep=LINE_END)


def encode_mailbox(header: str, mailbox: Address) -> str:
    """Return `"name" <address>`, with a name in encoded words unless it is plain ASCII."""
    name = CONTROL_CHARACTERS.sub(" ", mailbox.display_name).strip()
    if not name:
        return mailbox.addr_spec
    shown = f'"{quote(name)}"' if name.isascii() and "=?" not in name else encode_words(header, name)
    return f"{shown} <{mailbox.addr_spec}>"


# Bodies in seven bits: some servers do not accept eight.
ASCII_POLICY = PlainHeaderPolicy(linesep=LINE_END, raise_on_defect=True, cte_type="7bit")
INTERNATIONAL_POLICY = ASCII_POLICY.clone(utf8=True)


def build_email(message: OutgoingMessage, sender: Address, address: str) -> EmailMessage:
    """Build the email, plain text first, then HTML, then the attachments.

    `send` has already checked `address`. Blind copies are in the envelope only.
    """
    email_message = EmailMessage(policy=ASCII_POLICY if address.isascii() else INTERNATIONAL_POLICY)
    email_message["From"] = encode_mailbox("From", sender)
    email_message["To"] = address
    if message.email.cc:
        email_message["Cc"] = f",{LINE_END} ".join(message.email.cc)
    if reply_to := message.email.reply_to:
        email_message["Reply-To"] = encode_mailbox("Reply-To", Address(reply_to.name, addr_spec=reply_to.email))
    email_message["Subject"] = CONTROL_CHARACTERS.sub(" ", message.content["subject"])
    email_message["Date"] = format_datetime(datetime.now(UTC))
    for name, value in build_headers(message, sender.domain).items():
        email_message[name] = CONTROL_CHARACTERS.sub(" ", value)
    email_message.set_content(message.content["text"])
    if message.content.get("html"):
        email_message.add_alternative(message.content["html"], subtype="html")
    for attachment in message.email.attachments:
        _attach(email_message, attachment)
    return email_message


def _attach(email_message: EmailMessage, attachment: EmailAttachment) -> None:
    maintype, _, subtype = attachment.content_type.partition("/")
    # Python would decode an encoded word in a quoted name. The form of RFC 2231 has none.
    name = ("utf-8", "", attachment.name) if "=?" in attachment.name else attachment.name
    email_message.add_attachment(attachment.content, maintype=maintype, subtype=subtype, filename=name)
