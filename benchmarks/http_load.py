"""Generate load with one repeated request over keep-alive connections; of a response, read only status and length.

A general HTTP client needs more CPU time per request than the measured server.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

LENGTH_HEADER = b"content-length:"


class UnexpectedStatus(Exception):
    """Signal a response other than 2xx, by its status line."""


@dataclass(frozen=True, kw_only=True)
class RepeatedRequest:
    """Describe one POST of JSON. `url` is absolute."""

    url: str
    body: bytes
    api_key: str = ""

    @property
    def text(self) -> bytes:
        parts = urlsplit(self.url)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.api_key}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


async def request_rate(request: RepeatedRequest, count: int, in_flight: int) -> float:
    """Return requests per second over `in_flight` connections, each with one request at a time."""
    remaining = iter(range(count))
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(in_flight, count)):
            tasks.create_task(_repeat(request, remaining))
    return count / (time.perf_counter() - started)


async def _repeat(request: RepeatedRequest, remaining: Iterator[int]) -> None:
    parts, text = urlsplit(request.url), request.text
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for _ in remaining:
            writer.write(text)
            await _read_response(reader)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _read_response(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    await reader.readexactly(next(int(line[len(LENGTH_HEADER) :]) for line in lines if line.startswith(LENGTH_HEADER)))
    if not lines[0].startswith(b"http/1.1 2"):
        raise UnexpectedStatus(lines[0].decode())
