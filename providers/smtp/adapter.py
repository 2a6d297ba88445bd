"""Send email by SMTP to one server of the operator."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from email.headerregistry import Address
from typing import Any, ClassVar, Self

import aiosmtplib

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import ProviderContext
from providers.email_fields import email_of, find_address_refusal, find_refusal, sender_of
from providers.email_message import build_email
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.smtp.connections import ConnectionPool, PooledConnection, close_session
from providers.smtp.replies import parse_refusal, parse_server_error, parse_unsuitable_server, redact
from providers.smtp.settings import PLAINTEXT_LOGIN_WARNING, SmtpSettings

# Seconds until the server has accepted the recipient: a call that stalls before that has sent nothing.
PRE_DATA_TIMEOUT = 12.0


class Smtp(Provider):
    name: ClassVar[str] = "smtp"
    title: ClassVar[str] = "SMTP"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    # Shorter than the drain timeout of a worker, which lets a running call finish.
    deadline: ClassVar[float] = 20.0
    settings: ClassVar[type[ProviderSettings]] = SmtpSettings

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._connections = ConnectionPool(settings, tls)

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(SmtpSettings))

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        """Send one email. The reply to the recipient decides first, then the reply to the content."""
        address = email_of(message)
        if refusal := find_address_refusal(address) or self.content_refusal(message.content):
            return refusal
        async with pre_data_phase():
            connection = await self._connections.take()
        with ExitStack() as on_error:
            on_error.callback(connection.close)
            outcome = await self._send_by(connection, message, address)
            on_error.pop_all()
        await self._connections.give_back(connection)
        return outcome

    async def _send_by(
        self, connection: PooledConnection, message: OutgoingMessage, address: str
    ) -> ProviderAcceptance | ProviderRefusal:
        async with pre_data_phase():
            try:
                if refusal := await self._set_envelope(connection, address):
                    return refusal
            except aiosmtplib.SMTPRecipientRefused as error:
                return parse_refusal(error, address)
            refused_copies = await _add_copies(connection, message)
        return await self._send_data(connection, message, address, refused_copies)

    async def _set_envelope(self, connection: PooledConnection, address: str) -> ProviderRefusal | None:
        """Send the sender and the recipient. A non-ASCII address needs a server with SMTPUTF8 (RFC 6531)."""
        international = not address.isascii()
        if international and not connection.supports_extension("smtputf8"):
            return ProviderRefusal(reason="international_address_not_supported")
        options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        await connection.mail(self._settings.sender, options=options, encoding="utf-8")
        await connection.rcpt(address, encoding="utf-8")
        return None

    async def _send_data(
        self, connection: PooledConnection, message: OutgoingMessage, address: str, refused_copies: int
    ) -> ProviderAcceptance | ProviderRefusal:
        """Send the content. A response lost after DATA may belong to an accepted email."""
        sender = sender_of(message, self._settings.sender, self._settings.from_name)
        mail = build_email(message, Address(sender.name, addr_spec=sender.email), address)
        try:
            code, text = await connection.data(mail.as_bytes())
        except aiosmtplib.SMTPResponseException as error:
            if error.code < 400:
                raise UnknownOutcome("malformed_response") from error
            return parse_refusal(error, address, default_reason="content_refused")
        except TimeoutError as error:
            raise UnknownOutcome("timeout") from error
        except OSError as error:
            raise UnknownOutcome("connection_lost", {"error": type(error).__name__}) from error
        evidence: Json = {"code": code, "text": redact(address, text)}
        if refused_copies:
            evidence["refused_copies"] = refused_copies
        return ProviderAcceptance(message_id=mail["Message-ID"].strip("<>"), response=evidence)

    async def check(self) -> str:
        """Log in and send a NOOP, for servers that refuse only after the login."""
        async with pre_data_phase():
            connection = await self._connections.open()
            try:
                await connection.noop()
                await close_session(connection)
            finally:
                connection.close()
        settings = self._settings
        login = f"accepts the login of {settings.username}" if settings.username else "responds; no login is set"
        warning = f"; {PLAINTEXT_LOGIN_WARNING}" if settings.has_plaintext_login else ""
        return f"{settings.host} {login} (tls: {settings.tls}){warning}"


@asynccontextmanager
async def pre_data_phase() -> AsyncIterator[None]:
    """Map errors before DATA: nothing has been sent."""
    try:
        async with asyncio.timeout(PRE_DATA_TIMEOUT):
            yield
    except aiosmtplib.SMTPResponseException as error:
        raise parse_server_error(error) from error
    except TimeoutError as error:
        raise TemporaryError("timeout") from error
    except OSError as error:
        raise TemporaryError("connect_failed", {"error": type(error).__name__}) from error
    except aiosmtplib.SMTPException as error:
        raise parse_unsuitable_server(error) from error


async def _add_copies(connection: PooledConnection, message: OutgoingMessage) -> int:
    """Add the copies to the envelope, and return how many the server refuses. They do not stop the message."""
    refused = 0
    for copy in (*message.email.cc, *message.email.bcc):
        try:
            await connection.rcpt(copy, encoding="utf-8")
        except aiosmtplib.SMTPRecipientRefused:
            refused += 1
    return refused
