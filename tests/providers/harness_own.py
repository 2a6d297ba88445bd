"""The sandbox and the inbox as the contract suite meets them: both keep their books in our own database."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar

from domain.channels import Channel
from domain.outgoing import Message
from providers.in_app import InApp
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, Sandbox, sign
from storage.database import Database
from storage.in_app import InboxRows
from storage.sandbox import SandboxLedger
from tests.providers.harness import NO_HTTP, NOT_CHECKED, NOT_FOUND, Ability, Bench, Harness, message_to
from tests.storage.sends import Desk, open_desk


class SandboxBench(Bench):
    SECRET = b"the sandbox's key"
    WORDS: ClassVar[dict[Ability, str]] = {
        Ability.ACCEPTS: "ada@example.com",
        Ability.REFUSES: "ada+refuse@example.com",
        Ability.THROTTLES: "ada+throttle@example.com",
        Ability.BREAKS: "ada+broken@example.com",
        Ability.HANGS: "ada+hang@example.com",
        Ability.LOSES: "ada+lost@example.com",
    }

    def __init__(self, desk: Desk) -> None:
        self.provider = Sandbox(SandboxLedger(desk.database), self.SECRET)
        self._desk = desk

    async def message(self, ability: Ability) -> Message:
        return await message_to(self._desk, Channel.EMAIL, {"email": self.WORDS[ability]})

    async def kept(self, message: Message) -> int:
        rows = await self._desk.query("SELECT id FROM sandbox_message WHERE attempt_id = :id", id=message.attempt_id)
        return len(rows)

    async def called(self, message: Message) -> int:
        [row] = await self._desk.query(
            "SELECT count(*) AS calls FROM sandbox_call WHERE delivery_id = :id AND endpoint_id = :endpoint",
            id=message.delivery_id,
            endpoint=message.endpoint_id,
        )
        return int(row["calls"])

    def report(self, word: str, message: Message, message_id: str, at: datetime) -> bytes:
        told = {"event": word, "message_id": message_id, "reference": str(message.attempt_id), "at": at.isoformat()}
        return json.dumps({"events": [told]}).encode()

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        timestamp = str(int(at.timestamp()))
        key = self.SECRET if genuine else b"a key of somebody else"
        return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(key, timestamp, body)}


class SandboxHarness(Harness):
    without = NO_HTTP | NOT_CHECKED

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        yield SandboxBench(await open_desk(database))


class InAppBench(Bench):
    def __init__(self, desk: Desk) -> None:
        self.provider = InApp(InboxRows(desk.database))
        self._desk = desk

    async def message(self, ability: Ability) -> Message:
        return await message_to(self._desk, Channel.IN_APP, {})

    async def kept(self, message: Message) -> int:
        return len(await self._desk.query("SELECT id FROM inbox_message WHERE id = :id", id=message.delivery_id))

    async def called(self, message: Message) -> int:
        return await self.kept(message)


class InAppHarness(Harness):
    without = (
        NO_HTTP
        | NOT_CHECKED
        | NOT_FOUND
        | {
            Ability.REFUSES: "everybody has an inbox",
            Ability.THROTTLES: "the inbox is our own table; nobody else limits it",
            Ability.BREAKS: "there are no credentials beside the database's",
            Ability.HANGS: "its call is one statement of ours, with the database's own time-out",
            Ability.LOSES: "it is idempotent: what may be written is written again",
            Ability.REPORTS: "the row itself is the proof",
            Ability.SIGNS_BODY: "it reports nothing",
            Ability.SIGNS_TIME: "it reports nothing",
        }
    )

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        yield InAppBench(await open_desk(database))
