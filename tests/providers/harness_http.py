"""A vendor that speaks HTTP, on this machine: it checks every request, keeps what it accepted, and has bad days."""

import asyncio
import json
import socket
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from domain.channels import Channel
from domain.outgoing import Message
from providers.transport import Transport, outgoing_client
from tests.providers.harness import Ability, Bench


class Day(StrEnum):
    """How the vendor treats a message: `word` of its address."""

    GOOD = "good"
    REFUSES = "refuses"
    THROTTLES = "throttles"
    BREAKS = "breaks"
    HANGS = "hangs"
    LOSES = "loses"
    RESETS = "resets"
    FAILS = "fails"
    DRIPS = "drips"
    REDIRECTS = "redirects"
    GARBLES = "garbles"
    FLOODS = "floods"


DAY_OF = {
    Ability.ACCEPTS: Day.GOOD,
    Ability.REFUSES: Day.REFUSES,
    Ability.THROTTLES: Day.THROTTLES,
    Ability.BREAKS: Day.BREAKS,
    Ability.HANGS: Day.HANGS,
    Ability.LOSES: Day.LOSES,
    Ability.ERRS: Day.FAILS,
    Ability.REDIRECTS: Day.REDIRECTS,
    Ability.MALFORMS: Day.GARBLES,
    Ability.FLOODS: Day.FLOODS,
    Ability.DRIPS: Day.DRIPS,
}
FLOOD = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        assert self.headers["content-type"] == "application/x-www-form-urlencoded"
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0  # bytes of the body that never come

    @property
    def wire(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} X", f"content-length: {len(body) + self.missing}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Vendor(ABC):
    """`requests` are those that would send; `kept` counts what was accepted, by our reference. `questions` are those
    that send nothing, answered as on a `mood`. `reply` and `telling` are what it says to either, whatever it is."""

    url: str = ""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.questions: list[Request] = []
        self.mood = Day.GOOD
        self.kept: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.reply: Reply | None = None
        self.telling: Reply | None = None

    @abstractmethod
    def read(self, request: Request) -> tuple[str, Day]:
        """Our reference and how to treat it. AssertionError for what the vendor does not document."""

    @abstractmethod
    def accepted(self, reference: str, request: Request) -> Reply: ...

    @abstractmethod
    def refused(self, day: Day) -> Reply:
        """To a message that is refused, throttled, or comes with broken credentials."""

    def aside(self, request: Request) -> Reply | None:
        """Answers what comes before a message or a question."""
        return None

    def asks(self, request: Request) -> bool:
        """Whether it sends nothing."""
        return request.method == "GET"

    def told(self, request: Request) -> Reply:
        """The answer to a question, from what was really accepted; 401 to credentials that the vendor does not know.
        AssertionError for what it does not document."""
        raise AssertionError("it cannot be asked")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await read_request(reader)
            if aside := self.aside(request):
                writer.write(aside.wire)
            elif self.asks(request):
                await self._tell(request, reader, writer)
            else:
                await self._answer(request, reader, writer)
            await writer.drain()
        writer.close()

    async def _tell(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.questions.append(request)
        if await self._refused(self.mood, request, reader, writer):
            return
        try:
            answer = self.telling or self.told(request)
        except (AssertionError, KeyError, ValueError) as error:
            self.complaints.append(repr(error))
            answer = Reply(status=418)
        await self._say(answer, self.mood, reader, writer)

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        try:
            reference, day = self.read(request)
        except (AssertionError, KeyError, ValueError) as error:
            self.complaints.append(repr(error))
            return writer.write(Reply(status=418).wire)
        self.called[reference] += 1
        if await self._refused(day, request, reader, writer):
            return None
        if self.reply is not None:
            return writer.write(self.reply.wire)
        self.kept[reference] += 1
        return await self._say(self.accepted(reference, request), day, reader, writer)

    async def _refused(
        self, day: Day, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether such a day leaves nothing done."""
        if day is Day.HANGS:
            await reader.read()
        elif day is Day.RESETS:
            reset(writer)
        elif day in (Day.REFUSES, Day.THROTTLES, Day.BREAKS):
            writer.write(self.refused(day).wire)
        elif day is Day.FAILS:
            writer.write(Reply(status=500, body=b"<html>").wire)
        elif day is Day.REDIRECTS:
            writer.write(Reply(status=307, headers={"location": self.url + request.target}).wire)
        else:
            return False
        return True

    async def _say(self, answer: Reply, day: Day, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What was done, as such a day lets it be said."""
        if day is Day.LOSES:
            return reset(writer)
        if day is Day.GARBLES:
            return writer.write(Reply(status=answer.status, body=b"\xff{").wire)
        if day is Day.FLOODS:
            return writer.write(Reply(status=answer.status, body=b" " * FLOOD).wire)
        if day is Day.DRIPS:
            return await drip(answer.wire, reader, writer)
        return writer.write(answer.wire)


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, target=target, headers=headers, body=body)


def reset(writer: asyncio.StreamWriter) -> None:
    """A reset, not an orderly end."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(wire: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then, so that no time-out between two bytes ever fires; until the other side has enough."""
    gone = asyncio.ensure_future(reader.read())
    for at in range(len(wire)):
        done, _ = await asyncio.wait([gone], timeout=0.02)
        if done:
            return
        writer.write(wire[at : at + 1])
    gone.cancel()


@asynccontextmanager
async def serving(vendor: Vendor) -> AsyncIterator[Transport]:
    """The vendor at an address of its own, and a way to it like that of bootstrap."""
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with outgoing_client() as client:
            yield Transport(client)
    finally:
        server.close()
    assert vendor.complaints == []


class HttpBench(Bench):
    """`address` says where the vendor has such a day."""

    vendor: Vendor
    channel: ClassVar[Channel]
    content: ClassVar[Mapping[str, str]]

    @abstractmethod
    def address(self, day: Day) -> dict[str, str]: ...

    async def message(self, ability: Ability) -> Message:
        return self.on(DAY_OF[ability])

    def on(self, day: Day) -> Message:
        return Message(
            attempt_id=uuid4(),
            delivery_id=uuid4(),
            notification_id=uuid4(),
            tenant=UUID(int=7),
            recipient_id="ada",
            notification_type="order.shipped",
            created_at=datetime.now(UTC),
            channel=self.channel,
            endpoint_id=self.channel,
            address=self.address(day),
            content=dict(self.content),
        )

    async def kept(self, message: Message) -> int:
        return self.vendor.kept[self.reference(message)]

    async def called(self, message: Message) -> int:
        return self.vendor.called[self.reference(message)]

    def sends(self) -> int:
        return len(self.vendor.requests)

    def questions(self) -> int:
        return len(self.vendor.questions)

    def answer_questions(self, ability: Ability) -> None:
        self.vendor.mood = DAY_OF[ability]

    def reference(self, message: Message) -> str:
        return str(message.attempt_id)
