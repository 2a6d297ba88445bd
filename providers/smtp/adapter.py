"""Send email by SMTP to one server of the operator. Each message has its own connection."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from typing import Any, ClassVar, Self

import aiosmtplib

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.failure_reasons import is_account_code
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import ProviderContext
from providers.email_fields import find_refusal, sender_of
from providers.email_message import build_email
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.smtp.reasons import STORAGE_EXCEEDED, find_reason, find_retry_reason
from providers.smtp.settings import PLAINTEXT_LOGIN_WARNING, SmtpSettings

# Seconds until the server has accepted the recipient: a call that stalls before that has sent nothing.
PRE_DATA_TIMEOUT = 12.0
QUIT_TIMEOUT = 1.0


class Smtp(Provider):
    name: ClassVar[str] = "smtp"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    # Shorter than the drain timeout of a worker, which lets a running call finish.
    deadline: ClassVar[float] = 20.0
    settings: ClassVar[type[ProviderSettings]] = SmtpSettings

    # https://www.rfc-editor.org/rfc/rfc4954#section-6: the server requires a login, or rejects this one.
    LOGIN_ERROR_CODES: ClassVar[frozenset[int]] = frozenset({530, 534, 535, 538})
    # Servers have no common code for a refusal to relay: Postfix and Sendmail use 5.7.1, as for a policy about one
    # recipient, Exchange 5.7.54, Exim no enhanced code at all.
    RELAY_DENIED_PATTERN: ClassVar[re.Pattern[str]] = re.compile(
        r"\brelay(ing)? (access )?(is )?(denied|prohibited|not (permitted|allowed))"
        r"|\b(unable|not \w+) to relay|\bnot relay",
        re.IGNORECASE,
    )
    # Required features that the server does not offer, by the texts of aiosmtplib, which has one class for these
    # errors.
    MISSING_EXTENSIONS: ClassVar[dict[str, str]] = {
        "AUTH extension": "login_not_offered",
        "authentication method": "login_not_offered",
        "STARTTLS extension": "starttls_not_offered",
    }

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._tls = tls

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(SmtpSettings))

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        """Send one email. The reply to the recipient decides first, then the reply to the content."""
        address = message.address.get("email_ascii") or message.address["email"]
        if not address.isprintable() or set(" <>") & set(address) or "=?" in address:
            return ProviderRefusal(reason="invalid_address")
        if content_error := self.content_refusal(message.content):
            return content_error
        client = self._client()
        try:
            refusal = await self._open_transaction(client, address)
            outcome = refusal or await self._send_data(
                client, message, address, await self._add_copies(client, message)
            )
            await _quit(client)
        finally:
            client.close()
        return outcome

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.effective_port,
            username=settings.username,
            password=settings.password.get_secret_value(),
            use_tls=settings.tls == "implicit",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
            timeout=None,
        )

    async def check(self) -> str:
        """Log in and send a NOOP, for servers that refuse only after the login."""
        client = self._client()
        try:
            async with self._pre_data_phase():
                await client.connect()
                await client.noop()
            await _quit(client)
        finally:
            client.close()
        settings = self._settings
        login = f"accepts the login of {settings.username}" if settings.username else "responds; no login is set"
        warning = f"; {PLAINTEXT_LOGIN_WARNING}" if settings.has_plaintext_login else ""
        return f"{settings.host} {login} (tls: {settings.tls}){warning}"

    async def _open_transaction(self, client: aiosmtplib.SMTP, address: str) -> ProviderRefusal | None:
        """Send the envelope, up to the recipient."""
        async with self._pre_data_phase():
            await client.connect()
            await client.ehlo()
            try:
                return await self._set_envelope(client, address)
            except aiosmtplib.SMTPRecipientRefused as error:
                return self._parse_refusal(error, address)

    @asynccontextmanager
    async def _pre_data_phase(self) -> AsyncIterator[None]:
        """Map errors before DATA: nothing has been sent."""
        try:
            async with asyncio.timeout(PRE_DATA_TIMEOUT):
                yield
        except aiosmtplib.SMTPResponseException as error:
            raise self._parse_server_error(error) from error
        except TimeoutError as error:
            raise TemporaryError("timeout") from error
        except OSError as error:
            raise TemporaryError("connect_failed", {"error": type(error).__name__}) from error
        except aiosmtplib.SMTPException as error:
            missing = next(
                (reason for words, reason in self.MISSING_EXTENSIONS.items() if words in error.message), None
            )
            raise PermanentError(missing or "server_unsuitable", {"error": type(error).__name__}) from error

    async def _set_envelope(self, client: aiosmtplib.SMTP, address: str) -> ProviderRefusal | None:
        """Send the sender and the recipient. A non-ASCII address needs a server with SMTPUTF8 (RFC 6531)."""
        international = not address.isascii()
        if international and not client.supports_extension("smtputf8"):
            return ProviderRefusal(reason="international_address_not_supported")
        options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        await client.mail(self._settings.sender, options=options, encoding="utf-8")
        await client.rcpt(address, encoding="utf-8")
        return None

    async def _add_copies(self, client: aiosmtplib.SMTP, message: OutgoingMessage) -> int:
        """Add the copies to the envelope, and return how many the server refuses. They do not stop the message."""
        refused = 0
        async with self._pre_data_phase():
            for copy in (*message.email.cc, *message.email.bcc):
                try:
                    await client.rcpt(copy, encoding="utf-8")
                except aiosmtplib.SMTPRecipientRefused:
                    refused += 1
        return refused

    async def _send_data(
        self, client: aiosmtplib.SMTP, message: OutgoingMessage, address: str, refused_copies: int
    ) -> ProviderAcceptance | ProviderRefusal:
        """Send the content. A response lost after DATA may belong to an accepted email."""
        sender = sender_of(message, self._settings.sender, self._settings.from_name)
        mail = build_email(message, Address(sender.name, addr_spec=sender.email), address)
        try:
            code, text = await client.data(mail.as_bytes())
        except aiosmtplib.SMTPResponseException as error:
            if error.code < 400:
                raise UnknownOutcome("malformed_response") from error
            return self._parse_refusal(error, address, default_reason="content_refused")
        except TimeoutError as error:
            raise UnknownOutcome("timeout") from error
        except OSError as error:
            raise UnknownOutcome("connection_lost", {"error": type(error).__name__}) from error
        evidence: Json = {"code": code, "text": _redact(address, text)}
        if refused_copies:
            evidence["refused_copies"] = refused_copies
        return ProviderAcceptance(message_id=mail["Message-ID"].strip("<>"), response=evidence)

    def _parse_refusal(
        self, error: aiosmtplib.SMTPResponseException, address: str, default_reason: str = "refused_recipient"
    ) -> ProviderRefusal:
        """Return a refusal of this recipient or message. Raises ProviderError for replies about the account or for a
        later attempt.
        """
        if error.code in self.LOGIN_ERROR_CODES:
            raise self._parse_server_error(error) from error
        text = _redact(address, error.message)
        evidence: Json = {"code": error.code, "text": text}
        if retry_reason := find_retry_reason(
            error.code, error.message, is_recipient_reply=default_reason == "refused_recipient"
        ):
            raise TemporaryError(retry_reason, evidence) from error
        if self.RELAY_DENIED_PATTERN.search(text):
            raise PermanentError("relay_denied", evidence) from error
        reason = find_reason(error.message) or ("too_large" if error.code == STORAGE_EXCEEDED else default_reason)
        if is_account_code(reason):
            raise PermanentError(reason, evidence) from error
        return ProviderRefusal(reason=reason, response=evidence)

    def _parse_server_error(self, error: aiosmtplib.SMTPResponseException) -> TemporaryError | PermanentError:
        """Map a reply before the recipient was named, or unrelated to the recipient: it concerns every message."""
        evidence: Json = {"code": error.code}
        if error.code < 500:
            return TemporaryError("unavailable", evidence)
        if error.code in self.LOGIN_ERROR_CODES or isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return PermanentError("credentials_refused", evidence)
        sender = isinstance(error, aiosmtplib.SMTPSenderRefused)
        return PermanentError("sender_refused" if sender else "server_refused", evidence)


def _redact(address: str, text: str) -> str:
    return text.replace(address, "…")[:200]


async def _quit(client: aiosmtplib.SMTP) -> None:
    """Close the session. The server's reply to QUIT does not matter."""
    with suppress(aiosmtplib.SMTPException, TimeoutError, OSError):
        async with asyncio.timeout(QUIT_TIMEOUT):
            await client.quit()
