"""Simulate an HTTP vendor on this machine: it validates every request, stores accepted messages, and has fault
modes.
"""

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
from domain.outgoing_messages import OutgoingMessage
from providers.transport import Transport, outgoing_client
from tests.providers.harness import Bench, ContractCase


class VendorMode(StrEnum):
    """Define how the vendor treats a message: `word` of its address."""

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


MODE_OF_CASE = {
    ContractCase.ACCEPTS: VendorMode.GOOD,
    ContractCase.REFUSES: VendorMode.REFUSES,
    ContractCase.THROTTLES: VendorMode.THROTTLES,
    ContractCase.BREAKS: VendorMode.BREAKS,
    ContractCase.HANGS: VendorMode.HANGS,
    ContractCase.LOSES: VendorMode.LOSES,
    ContractCase.ERRS: VendorMode.FAILS,
    ContractCase.REDIRECTS: VendorMode.REDIRECTS,
    ContractCase.MALFORMS: VendorMode.GARBLES,
    ContractCase.FLOODS: VendorMode.FLOODS,
    ContractCase.DRIPS: VendorMode.DRIPS,
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
    missing: int = 0  # bytes of the body that are not sent

    @property
    def wire(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} X", f"content-length: {len(body) + self.missing}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class FakeVendor(ABC):
    """Serve a vendor. `requests` are the sends; `kept` counts accepted messages by attempt id. `lookups` are the
    queries, treated according to `lookup_mode`. `reply` and `lookup_override` override the responses to either.
    """

    url: str = ""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.lookups: list[Request] = []
        self.lookup_mode = VendorMode.GOOD
        self.kept: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.reply: Reply | None = None
        self.lookup_override: Reply | None = None

    @abstractmethod
    def read(self, request: Request) -> tuple[str, VendorMode]:
        """Return the attempt id and the mode. Raises AssertionError for a request that the vendor does not document."""

    @abstractmethod
    def accepted(self, reference: str, request: Request) -> Reply: ...

    @abstractmethod
    def refused(self, mode: VendorMode) -> Reply:
        """Return the response to a message that is refused or throttled, or has refused credentials."""

    def extra_reply(self, request: Request) -> Reply | None:
        """Respond to requests other than messages and queries."""
        return None

    def is_lookup(self, request: Request) -> bool:
        """Return whether the request sends nothing."""
        return request.method == "GET"

    def lookup_reply(self, request: Request) -> Reply:
        """Return the response to a query, from the accepted messages; 401 for unknown credentials.

        Raises AssertionError for a request that the vendor does not document.
        """
        raise AssertionError("it has no queries")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await read_request(reader)
            if extra_reply := self.extra_reply(request):
                writer.write(extra_reply.wire)
            elif self.is_lookup(request):
                await self._serve_lookup(request, reader, writer)
            else:
                await self._serve_send(request, reader, writer)
            await writer.drain()
        writer.close()

    async def _serve_lookup(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lookups.append(request)
        if await self._write_refusal(self.lookup_mode, request, reader, writer):
            return
        try:
            reply = self.lookup_override or self.lookup_reply(request)
        except (AssertionError, KeyError, ValueError) as error:
            self.complaints.append(repr(error))
            reply = Reply(status=418)
        await self._write_reply(reply, self.lookup_mode, reader, writer)

    async def _serve_send(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        try:
            reference, mode = self.read(request)
        except (AssertionError, KeyError, ValueError) as error:
            self.complaints.append(repr(error))
            return writer.write(Reply(status=418).wire)
        self.called[reference] += 1
        if await self._write_refusal(mode, request, reader, writer):
            return None
        if self.reply is not None:
            return writer.write(self.reply.wire)
        self.kept[reference] += 1
        return await self._write_reply(self.accepted(reference, request), mode, reader, writer)

    async def _write_refusal(
        self, mode: VendorMode, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Respond as a mode that accepts nothing, if it is one, and return whether it is."""
        if mode is VendorMode.HANGS:
            await reader.read()
        elif mode is VendorMode.RESETS:
            reset(writer)
        elif mode in (VendorMode.REFUSES, VendorMode.THROTTLES, VendorMode.BREAKS):
            writer.write(self.refused(mode).wire)
        elif mode is VendorMode.FAILS:
            writer.write(Reply(status=500, body=b"<html>").wire)
        elif mode is VendorMode.REDIRECTS:
            writer.write(Reply(status=307, headers={"location": self.url + request.target}).wire)
        else:
            return False
        return True

    async def _write_reply(
        self, reply: Reply, mode: VendorMode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Respond to an accepted message, according to the mode."""
        if mode is VendorMode.LOSES:
            return reset(writer)
        if mode is VendorMode.GARBLES:
            return writer.write(Reply(status=reply.status, body=b"\xff{").wire)
        if mode is VendorMode.FLOODS:
            return writer.write(Reply(status=reply.status, body=b" " * FLOOD).wire)
        if mode is VendorMode.DRIPS:
            return await drip(reply.wire, reader, writer)
        return writer.write(reply.wire)


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, target=target, headers=headers, body=body)


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection instead of closing it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(wire: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one byte at intervals below every read timeout, until the other side disconnects."""
    gone = asyncio.ensure_future(reader.read())
    for at in range(len(wire)):
        done, _ = await asyncio.wait([gone], timeout=0.02)
        if done:
            return
        writer.write(wire[at : at + 1])
    gone.cancel()


@asynccontextmanager
async def running_vendor(vendor: FakeVendor) -> AsyncIterator[Transport]:
    """Serve the vendor at its own address, and yield a transport like that of bootstrap."""
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with outgoing_client() as client:
            yield Transport(client)
    finally:
        server.close()
    assert vendor.complaints == []


class HttpBench(Bench):
    """Hold an HTTP vendor. `address` maps each mode to an address that selects it."""

    vendor: FakeVendor
    channel: ClassVar[Channel]
    content: ClassVar[Mapping[str, str]]

    @abstractmethod
    def address(self, mode: VendorMode) -> dict[str, str]: ...

    async def message(self, case: ContractCase) -> OutgoingMessage:
        return self.message_in_mode(MODE_OF_CASE[case])

    def message_in_mode(self, mode: VendorMode) -> OutgoingMessage:
        return OutgoingMessage(
            attempt_id=uuid4(),
            delivery_id=uuid4(),
            notification_id=uuid4(),
            tenant=UUID(int=7),
            recipient_id="ada",
            notification_type="order.shipped",
            created_at=datetime.now(UTC),
            channel=self.channel,
            endpoint_id=self.channel,
            address=self.address(mode),
            content=dict(self.content),
        )

    async def kept(self, message: OutgoingMessage) -> int:
        return self.vendor.kept[self.reference(message)]

    async def called(self, message: OutgoingMessage) -> int:
        return self.vendor.called[self.reference(message)]

    def sends(self) -> int:
        return len(self.vendor.requests)

    def lookups(self) -> int:
        return len(self.vendor.lookups)

    def set_lookup_mode(self, case: ContractCase) -> None:
        self.vendor.lookup_mode = MODE_OF_CASE[case]

    def reference(self, message: OutgoingMessage) -> str:
        return str(message.attempt_id)
