"""Serve HTTP with every fault that a network can have: resets, single bytes, invalid headers, too large bodies."""

import asyncio
import json
import re
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl

HOST = "127.0.0.1"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary="
FIELD_NAME = re.compile(rb'^content-disposition: form-data; name="([^"]*)"', re.IGNORECASE | re.MULTILINE)
# A character that is sent as a byte that is not UTF-8.
NOT_UTF8 = "\ue000"
ESCAPED = json.dumps(NOT_UTF8)[1:-1].encode()
DRIP_INTERVAL = 0.02  # below every read timeout


class UndocumentedRequest(Exception):
    """A request that the vendor does not document. The text says what is wrong."""


def require(condition: object, problem: str) -> None:
    if not condition:
        raise UndocumentedRequest(problem)


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], strict_parsing=True))

    @property
    def json(self) -> Any:
        require(self.headers.get("content-type") == "application/json", "the body is not JSON")
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        require(self.headers.get("content-type") == FORM, "the body is not a form")
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)
        require(len(pairs) == len(dict(pairs)), "a field of the form is repeated")
        return dict(pairs)

    @property
    def multipart(self) -> list[tuple[str, bytes]]:
        """Return the fields of a multipart form in their order, with their names. A name may be repeated."""
        content_type = self.headers.get("content-type", "")
        require(content_type.startswith(MULTIPART), "the body is not a multipart form")
        separator = b"\r\n--" + content_type.removeprefix(MULTIPART).encode()
        _, *parts, end = (b"\r\n" + self.body).split(separator)
        require(end.strip() == b"--", "the multipart form has no end")
        fields = [part.partition(b"\r\n\r\n") for part in parts]
        return [(FIELD_NAME.findall(head)[0].decode(), content) for head, _, content in fields]


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0  # bytes of the body that are not sent

    @property
    def wire(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        body = body.replace(ESCAPED, b"\xff")
        lines = [f"HTTP/1.1 {self.status} X", f"content-length: {len(body) + self.missing}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode().replace(NOT_UTF8.encode(), b"\xff") + body


@dataclass(frozen=True)
class VendorConnection:
    """Hold the connection of one request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, reply: Reply) -> None:
        self.writer.write(reply.wire)

    def reset(self) -> None:
        reset(self.writer)

    async def wait_for_disconnect(self) -> None:
        await self.reader.read()

    async def drip(self, reply: Reply) -> None:
        """Send one byte at a time, until the other side disconnects."""
        gone = asyncio.ensure_future(self.reader.read())
        for byte in reply.wire:
            done, _ = await asyncio.wait([gone], timeout=DRIP_INTERVAL)
            if done:
                return
            self.writer.write(bytes([byte]))
        gone.cancel()


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


class VendorListener(ABC):
    """Listen on a local port, which stays the same after `stop` and `start`. `complaints` are undocumented requests."""

    port: int = 0
    complaints: list[str]
    _server: asyncio.Server | None = None

    @abstractmethod
    async def _listen(self) -> asyncio.Server: ...

    async def start(self) -> None:
        if self._server is None:
            self._server = await self._listen()
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def is_up(self) -> bool:
        return self._server is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen while the block runs. Raises AssertionError after it if a request was undocumented."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()
        if self.complaints:
            raise AssertionError(f"undocumented requests: {self.complaints}")


class HttpListener(VendorListener):
    """Read one request from each connection."""

    @abstractmethod
    async def handle(self, request: Request, connection: VendorConnection) -> None: ...

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, HOST, self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.handle(await read_request(reader), VendorConnection(reader, writer))
            await writer.drain()
        writer.close()
