"""SMTP as the contract suite meets it: `mail_server.py`, in the mode that the ability asks for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar
from uuid import uuid4

from domain.channels import Channel
from domain.outgoing import Message
from providers.base import Provider
from providers.smtp import Smtp
from storage.database import Database
from tests.providers.harness import NO_HTTP, NO_RECEIPTS, NOT_FOUND, Ability, Bench, Harness, message_to
from tests.providers.mail_server import MailMode, MailServer
from tests.storage.sends import Desk, open_desk


class SmtpBench(Bench):
    MODES: ClassVar[dict[Ability, MailMode]] = {
        Ability.ACCEPTS: MailMode.ACCEPT,
        Ability.REFUSES: MailMode.REFUSE,
        Ability.BREAKS: MailMode.BROKEN,
        Ability.HANGS: MailMode.HANG,
        Ability.LOSES: MailMode.LOSE,
    }

    def __init__(self, desk: Desk, server: MailServer) -> None:
        self.provider = Smtp(server.settings())
        self._desk = desk
        self._server = server

    async def message(self, ability: Ability) -> Message:
        self._server.mode = self.MODES[ability]
        return await message_to(self._desk, Channel.EMAIL, {"email": f"ada-{uuid4()}@example.com"})

    async def kept(self, message: Message) -> int:
        return len(self._server.kept(message.attempt_id))

    async def called(self, message: Message) -> int:
        """Each bench has a server of its own: connections are calls."""
        return self._server.connections

    def sends(self) -> int:
        return self._server.mails

    def stranger(self) -> Provider:
        return Smtp(self._server.settings(password="somebody else's"))

    def astray(self) -> Provider:
        return Smtp(self._server.settings(port=1))


class SmtpHarness(Harness):
    without = {Ability.THROTTLES: "SMTP has no way to say how long"} | NO_HTTP | NO_RECEIPTS | NOT_FOUND

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with MailServer().open() as server:
            yield SmtpBench(await open_desk(database), server)
