"""Adapt SMTP to the contract suite."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar
from uuid import uuid4

import trustme

from domain.channels import Channel
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.smtp.adapter import Smtp
from storage.database import Database
from testing.vendors.emails import VendorEmail
from testing.vendors.smtp import MailMode, MailServer
from tests.outgoing_messages import ADA, outgoing_message
from tests.providers.harness import NO_HTTP, NO_RECEIPTS, NOT_FOUND, Bench, ContractCase, Harness, message_to
from tests.providers.harness_http import last_email
from tests.storage.sends import DatabaseTenant, open_database_tenant


def to(address: str = ADA, ascii_form: str | None = None, **content: str) -> OutgoingMessage:
    return outgoing_message(
        address={"email": address} | ({"email_ascii": ascii_form} if ascii_form else {}),
        content={"subject": "Hi", "html": "<p>Hello</p>", "text": "Hello"} | content,
    )


class SmtpBench(Bench):
    MODES: ClassVar[dict[ContractCase, MailMode]] = {
        ContractCase.ACCEPTS: MailMode.ACCEPT,
        ContractCase.REFUSES: MailMode.REFUSE,
        ContractCase.BREAKS: MailMode.BROKEN,
        ContractCase.HANGS: MailMode.HANG,
        ContractCase.LOSES: MailMode.LOSE,
    }

    def __init__(self, database_tenant: DatabaseTenant, server: MailServer) -> None:
        self.provider = Smtp(server.settings())
        self._tenant = database_tenant
        self._server = server

    async def message(self, case: ContractCase) -> OutgoingMessage:
        self._server.mode = self.MODES[case]
        self._server.disconnect()  # a login is refused only on a new connection
        return await message_to(self._tenant, Channel.EMAIL, {"email": f"ada-{uuid4()}@example.com"})

    async def kept(self, message: OutgoingMessage) -> int:
        return len(self._server.kept(message.attempt_id))

    async def called(self, message: OutgoingMessage) -> int:
        """Count transactions, or connections if none began. Each bench has its own server."""
        return self._server.mails or self._server.connections

    def email(self) -> VendorEmail:
        return last_email(self._server.log)

    def sends(self) -> int:
        return self._server.mails

    def bad_credentials(self) -> Provider:
        return Smtp(self._server.settings(password="another"))

    def unreachable(self) -> Provider:
        return Smtp(self._server.settings(port=1))


class SmtpHarness(Harness):
    without = {ContractCase.THROTTLES: "SMTP cannot state a delay"} | NO_HTTP | NO_RECEIPTS | NOT_FOUND

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with MailServer().running() as server:
            yield SmtpBench(await open_database_tenant(database), server)


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
