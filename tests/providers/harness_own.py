"""Adapt the sandbox and the inbox to the contract suite: both store their messages in Tocsin's database."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar

from domain.channels import Channel
from domain.outgoing_messages import OutgoingMessage
from providers.in_app import InApp
from providers.outcomes import PermanentError, TemporaryError, UnknownOutcome
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, Sandbox, sign
from storage.database import Database
from storage.inbox import InboxStore
from storage.sandbox import PostgresSandboxStore
from tests.providers.harness import NO_HTTP, NOT_CHECKED, NOT_FOUND, Bench, ContractCase, Harness, message_to
from tests.storage.sends import DatabaseTenant, open_database_tenant


class SandboxBench(Bench):
    SECRET = b"the sandbox's key"
    WORDS: ClassVar[dict[ContractCase, str]] = {
        ContractCase.ACCEPTS: "ada@example.com",
        ContractCase.REFUSES: "ada+refuse@example.com",
        ContractCase.THROTTLES: "ada+throttle@example.com",
        ContractCase.BREAKS: "ada+broken@example.com",
        ContractCase.HANGS: "ada+hang@example.com",
        ContractCase.LOSES: "ada+lost@example.com",
    }

    def __init__(self, database_tenant: DatabaseTenant) -> None:
        self.provider = Sandbox(PostgresSandboxStore(database_tenant.database), self.SECRET)
        self._tenant = database_tenant

    async def message(self, case: ContractCase) -> OutgoingMessage:
        return await message_to(self._tenant, Channel.EMAIL, {"email": self.WORDS[case]})

    async def kept(self, message: OutgoingMessage) -> int:
        rows = await self._tenant.query("SELECT id FROM sandbox_message WHERE attempt_id = :id", id=message.attempt_id)
        return len(rows)

    async def called(self, message: OutgoingMessage) -> int:
        [row] = await self._tenant.query(
            "SELECT count(*) AS calls FROM sandbox_call WHERE delivery_id = :id AND endpoint_id = :endpoint",
            id=message.delivery_id,
            endpoint=message.endpoint_id,
        )
        return int(row["calls"])

    def report(self, word: str, message: OutgoingMessage, message_id: str, at: datetime) -> bytes:
        lookup_reply = {
            "event": "opened" if word == "open" else word,
            "message_id": message_id,
            "reference": str(message.attempt_id),
            "at": at.isoformat(),
        }
        return json.dumps({"events": [lookup_reply]}).encode()

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        timestamp = str(int(at.timestamp()))
        key = self.SECRET if genuine else b"another key"
        return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(key, timestamp, body)}


class SandboxHarness(Harness):
    without = NO_HTTP | NOT_CHECKED

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        yield SandboxBench(await open_database_tenant(database))


class InAppBench(Bench):
    def __init__(self, database_tenant: DatabaseTenant) -> None:
        self.provider = InApp(InboxStore(database_tenant.database))
        self._tenant = database_tenant

    async def message(self, case: ContractCase) -> OutgoingMessage:
        return await message_to(self._tenant, Channel.IN_APP, {})

    async def kept(self, message: OutgoingMessage) -> int:
        return len(await self._tenant.query("SELECT id FROM inbox_message WHERE id = :id", id=message.delivery_id))

    async def called(self, message: OutgoingMessage) -> int:
        return await self.kept(message)


class InAppHarness(Harness):
    without = (
        NO_HTTP
        | NOT_CHECKED
        | NOT_FOUND
        | {
            ContractCase.REFUSES: "every recipient has an inbox",
            ContractCase.THROTTLES: "the inbox is Tocsin's own table without a limit",
            ContractCase.BREAKS: "it has no credentials except the database's",
            ContractCase.HANGS: "its call is one SQL statement with the database's own timeout",
            ContractCase.LOSES: "it is idempotent: an uncertain write is repeated",
            ContractCase.REPORTS: "the row itself is the proof",
            ContractCase.SIGNS_BODY: "it has no receipts",
            ContractCase.SIGNS_TIME: "it has no receipts",
        }
    )

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        yield InAppBench(await open_database_tenant(database))


async def sandbox_outcome(sandbox: Sandbox, message: OutgoingMessage) -> type:
    """Return the class of the outcome, which is returned or raised."""
    try:
        return type(await sandbox.send(message))
    except (TemporaryError, PermanentError, UnknownOutcome) as error:
        return type(error)
