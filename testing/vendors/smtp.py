"""Simulate an SMTP server: it validates every message, stores accepted ones, and has fault modes. Needs aiosmtpd."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from typing import Any, ClassVar, cast
from uuid import UUID, uuid4
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from providers.smtp.settings import SmtpSettings
from testing.vendors.emails import email_of_mime
from testing.vendors.http import HOST, VendorListener
from testing.vendors.log import VendorCall, VendorLog, VendorMessage
from testing.vendors.modes import VendorMode

SENDER, NAME = "shop@shop.example", "The shöp, Ltd"
USER, PASSWORD = "tocsin", "swordfish"


class MailMode(StrEnum):
    ACCEPT = "accept"
    REFUSE = "refuse"
    BROKEN = "broken"  # credentials refused
    HANG = "hang"  # never responds to the content
    LOSE = "lose"  # accepts, then cuts the connection
    CUT_AT_RCPT = "cut_at_rcpt"
    STALL = "stall"  # never responds to the recipient
    CUT_AT_GREETING = "cut_at_greeting"
    GARBLE = "garble"  # responds to the content with invalid SMTP


@dataclass(frozen=True, kw_only=True)
class KeptMail:
    """Hold one email. `raw` is the content as received."""

    sender: str
    recipients: list[str]
    options: list[str]
    raw: bytes

    @property
    def mail(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)


@dataclass(kw_only=True)
class MailServer(VendorListener):
    """Serve SMTP. `replies` overrides the replies to `NOOP`, `MAIL`, `RCPT` or `DATA`, in every mode. `mails` counts
    started transactions.
    """

    mode: MailMode = MailMode.ACCEPT
    replies: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    international: bool = False
    login: bool = True
    port: int = 0
    connections: int = 0
    mails: int = 0
    ignores_reset: bool = False
    ledger: list[KeptMail] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    log: VendorLog = field(default_factory=VendorLog)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _open: "WeakSet[SmtpConnection]" = field(default_factory=WeakSet)

    def kept(self, attempt_id: UUID) -> list[KeptMail]:
        return [kept for kept in self.ledger if kept.mail["X-Tocsin-Attempt"] == str(attempt_id)]

    def settings(self, **changed: Any) -> SmtpSettings:
        given: dict[str, Any] = {
            "host": "localhost",
            "port": self.port,
            "from": SENDER,
            "from_name": NAME,
            "tls": "none",
        }
        if self.login:
            given |= {"username": USER, "password": SecretStr(PASSWORD)}
        return SmtpSettings(_env_file=None, **{**given, **changed})

    def environment(self) -> dict[str, str]:
        """Return the variables with which the adapter uses this server."""
        login = {"USERNAME": USER, "PASSWORD": PASSWORD} if self.login else {}
        settings = {"HOST": "localhost", "PORT": str(self.port), "FROM": SENDER, "TLS": "none", **login}
        return {f"TOCSIN_SMTP_{name}": value for name, value in settings.items()}

    @property
    def accepted(self) -> list[str]:
        """Return the recipients of the accepted emails."""
        return [recipient for kept in self.ledger for recipient in kept.recipients]

    async def _listen(self) -> asyncio.Server:
        context = self.tls if self.implicit else None
        return await asyncio.get_running_loop().create_server(self._connect, HOST, self.port, ssl=context)

    async def stop(self) -> None:
        self._closing.set()
        await super().stop()
        self.disconnect()

    def disconnect(self) -> None:
        """Reset all connections."""
        for connection in self._open:
            connection.cut()

    def _connect(self) -> SMTP:
        self.connections += 1
        connection = SmtpConnection(
            self,
            hostname="mail.example",
            tls_context=None if self.implicit else self.tls,
            require_starttls=self.tls is not None and not self.implicit,
            enable_SMTPUTF8=self.international,
            auth_require_tls=False,
            authenticator=self._authenticate if self.login else None,
            auth_exclude_mechanism=None if self.login else ["LOGIN", "PLAIN"],
            loop=asyncio.get_running_loop(),
        )
        self._open.add(connection)
        return connection

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: Any) -> AuthResult:
        good = data == LoginPassword(USER.encode(), PASSWORD.encode()) and self.mode is not MailMode.BROKEN
        return AuthResult(success=good, handled=False)

    async def handle_NOOP(self, server: SMTP, session: Session, envelope: Envelope, arg: str) -> str:
        return self.replies.get("NOOP", "250 2.0.0 OK")

    async def count_open_connections(self) -> int:
        return sum(each.transport is not None and not each.transport.is_closing() for each in self._open)

    async def handle_RSET(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.ignores_reset:
            await self._closing.wait()
        return "250 2.0.0 OK"

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.mails += 1
        if reply := self.replies.get("MAIL"):
            return reply
        if self.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: "SmtpConnection", session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.replies.get("RCPT"):
            return reply
        if self.mode is MailMode.REFUSE or "refuse" in address.partition("@")[0]:
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        if self.mode is MailMode.STALL:
            await self._closing.wait()
        if self.mode is MailMode.CUT_AT_RCPT:
            server.cut()
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: "SmtpConnection", session: Session, envelope: Envelope) -> str:
        if reply := self.replies.get("DATA"):
            return reply
        if self.mode is MailMode.HANG:
            await self._closing.wait()
        message_id = uuid4().hex
        self._keep(envelope, message_id)
        if self.mode is MailMode.LOSE:
            server.cut()
        if self.mode is MailMode.GARBLE:
            return "What do you mean?"
        return f"250 2.0.0 OK: queued as {message_id}"

    def _keep(self, envelope: Envelope, message_id: str) -> None:
        raw = bytes(envelope.original_content or b"")
        kept = KeptMail(
            sender=envelope.mail_from or "",
            recipients=list(envelope.rcpt_tos),
            options=list(envelope.mail_options),
            raw=raw,
        )
        mail = kept.mail
        self.complaints += [repr(defect) for part in mail.walk() for defect in part.defects]
        self.complaints += [
            f"not in the message: {name}" for name in ("From", "To", "Date", "Message-ID") if not mail[name]
        ]
        if b"\n" in raw.replace(b"\r\n", b"") or b"\r" in raw.replace(b"\r\n", b""):
            self.complaints.append("a bare line break")
        if max(len(line) for line in raw.split(b"\r\n")) > 998:
            self.complaints.append("a line of more than 998 characters")
        self.ledger.append(kept)
        message = VendorMessage(
            reference=str(mail["X-Tocsin-Attempt"]),
            to=kept.recipients[0],
            message_id=message_id,
            email=email_of_mime(mail, kept.recipients),
        )
        self.log.call("smtp", VendorCall(at=time.monotonic(), message=message, mode=VendorMode.GOOD))
        self.log.accepted("smtp", message)


class SmtpConnection(SMTP):
    AUTH_FAILURE: ClassVar[str] = "535 5.7.8 Authentication credentials invalid"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(self.event_handler, MailServer) and self.event_handler.mode is MailMode.CUT_AT_GREETING:
            transport.close()
            return
        super().connection_made(transport)

    def cut(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
