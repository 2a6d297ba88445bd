"""Fetch a page of metrics from a port of this machine."""

import asyncio
from contextlib import suppress

LOOPBACK = "127.0.0.1"
METRICS_PATH = "/metrics"
RESPONSE_TIMEOUT = 2.0  # seconds; less than a scrape may take
MAX_PAGE_BYTES = 8 * 2**20


async def fetch_page(port: int, within: float = RESPONSE_TIMEOUT) -> str | None:
    """Return the body; None without a response in time, or after an error."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(within):
            return _body(await _fetch_response(port))
    return None


async def _fetch_response(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        # HTTP/1.0: the body is not chunked, and ends with the connection.
        writer.write(f"GET {METRICS_PATH} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        response = bytearray()
        while (part := await reader.read(65_536)) and len(response) < MAX_PAGE_BYTES:
            response += part
        return bytes(response)
    finally:
        writer.close()


def _body(response: bytes) -> str | None:
    head, _, body = response.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    return body.decode() if status == [b"200"] else None
