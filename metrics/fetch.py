"""Reads a page of metrics from a port of this machine."""

import asyncio
from contextlib import suppress

LOOPBACK = "127.0.0.1"
PATH = "/metrics"
ANSWERS_WITHIN = 2.0  # seconds; less than a scrape may take
LARGEST = 8 * 2**20


async def fetch(port: int, within: float = ANSWERS_WITHIN) -> str | None:
    """Return the body; None if nothing answers in time, or answers with an error."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(within):
            return _body(await _answer(port))
    return None


async def _answer(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        # The old version: then the body is not chunked, and ends with the connection.
        writer.write(f"GET {PATH} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        answer = bytearray()
        while (part := await reader.read(65_536)) and len(answer) < LARGEST:
            answer += part
        return bytes(answer)
    finally:
        writer.close()


def _body(answer: bytes) -> str | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    return body.decode() if status == [b"200"] else None
