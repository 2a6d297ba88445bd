"""Adapt SMTP to the contract suite: `mail_server.py`, in the mode of the case."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar
from uuid import uuid4

from domain.channels import Channel
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.smtp.adapter import Smtp
from storage.database import Database
from tests.providers.harness import NO_HTTP, NO_RECEIPTS, NOT_FOUND, Bench, ContractCase, Harness, message_to
from tests.providers.mail_server import MailMode, MailServer
from tests.storage.sends import DatabaseTenant, open_database_tenant


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
        return await message_to(self._tenant, Channel.EMAIL, {"email": f"ada-{uuid4()}@example.com"})

    async def kept(self, message: OutgoingMessage) -> int:
        return len(self._server.kept(message.attempt_id))

    async def called(self, message: OutgoingMessage) -> int:
        """Count connections: each bench has its own server, so connections are calls."""
        return self._server.connections

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
        async with MailServer().open() as server:
            yield SmtpBench(await open_database_tenant(database), server)
