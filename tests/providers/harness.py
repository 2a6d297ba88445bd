"""What the contract suite needs to know of a vendor: one harness per provider, by its name in HARNESSES.

A provider that speaks HTTP brings a harness whose `bench` runs a local fake of the vendor and points the adapter at it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from domain.channels import Channel
from domain.outgoing import Message
from providers.base import Provider
from providers.in_app import InApp
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, Sandbox, sign
from storage.database import Database
from storage.in_app import InboxRows
from storage.sandbox import SandboxLedger
from tests.storage.sends import Desk, open_desk


class Ability(StrEnum):
    """What the contract asks of every provider. A harness says which of them its vendor cannot have, and why."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    THROTTLES = "throttles"
    BREAKS = "breaks"  # credentials refused
    HANGS = "hangs"
    LOSES = "loses"  # has the message, and its answer never arrives
    REPORTS = "reports"  # posts receipts
    SIGNS_BODY = "signs_body"
    SIGNS_TIME = "signs_time"


class Bench(ABC):
    """One vendor, ready for calls. `provider` is the adapter as bootstrap would build it."""

    provider: Provider

    @abstractmethod
    async def message(self, ability: Ability) -> Message:
        """A new message that the vendor will treat like that."""

    @abstractmethod
    async def kept(self, message: Message) -> int:
        """How often the vendor's own books hold it, by our reference."""

    def report(self, word: str, message: Message, message_id: str, at: datetime) -> bytes:
        """The body of a callback. Only for vendors that report."""
        raise NotImplementedError

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        """The headers of a callback sent at that time; not genuine: with a key that is not ours."""
        raise NotImplementedError


class Harness(ABC):
    """`without` maps what does not apply to the reason. `delivered` is the vendor's own word."""

    without: ClassVar[Mapping[Ability, str]] = {}
    delivered: ClassVar[str] = "delivered"

    @abstractmethod
    def bench(self, database: Database) -> AbstractAsyncContextManager[Bench]: ...


async def message_to(desk: Desk, channel: Channel, address: dict[str, str]) -> Message:
    """Of a notification that exists."""
    sent = await desk.send(channel)
    return Message(
        attempt_id=sent.attempt(channel=channel),
        delivery_id=sent.delivery(channel),
        notification_id=sent.id,
        tenant=desk.tenant,
        recipient_id=desk.recipient_id,
        channel=channel,
        endpoint_id=channel,
        address=address,
        content={"subject": "Hi", "text": "Hello"},
    )


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

    def report(self, word: str, message: Message, message_id: str, at: datetime) -> bytes:
        told = {"event": word, "message_id": message_id, "reference": str(message.attempt_id), "at": at.isoformat()}
        return json.dumps({"events": [told]}).encode()

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        timestamp = str(int(at.timestamp()))
        key = self.SECRET if genuine else b"a key of somebody else"
        return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(key, timestamp, body)}


class SandboxHarness(Harness):
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


class InAppHarness(Harness):
    without = {
        Ability.REFUSES: "everybody has an inbox",
        Ability.THROTTLES: "the inbox is our own table; nobody else limits it",
        Ability.BREAKS: "there are no credentials beside the database's",
        Ability.HANGS: "its call is one statement of ours, with the database's own time-out",
        Ability.LOSES: "it is idempotent: what may be written is written again",
        Ability.REPORTS: "the row itself is the proof",
        Ability.SIGNS_BODY: "it reports nothing",
        Ability.SIGNS_TIME: "it reports nothing",
    }

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        yield InAppBench(await open_desk(database))


HARNESSES: dict[str, Harness] = {"in_app": InAppHarness(), "sandbox": SandboxHarness()}
