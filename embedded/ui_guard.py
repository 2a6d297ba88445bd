"""Guard Temporal's Web UI of `make run`: respond to names of this machine only (DNS rebinding).

The UI has no login and does not check the Host header, so a web page whose name resolves to 127.0.0.1 could read every
payload through a browser. The guard listens on the documented port. The UI itself listens on a random loopback address,
because nothing on 127.0.0.1 would keep that page from calling it directly.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address

from domain.hosts import headers_of, is_local_request
from embedded.ports import LOOPBACK, is_free

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT = 10.0  # seconds
CHUNK_SIZE = 64 * 1024
MISDIRECTED_RESPONSE = (
    b"HTTP/1.1 421 Misdirected Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This page responds only to names of this machine, such as localhost and 127.0.0.1.\n"
)
UNAVAILABLE_RESPONSE = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThe UI does not run.\n"
)


def random_loopback_address() -> str:
    """Return a random address in 127.0.0.0/8; 127.0.0.1 where this machine has no other (macOS)."""
    address = str(IPv4Address("127.1.0.0") + secrets.randbelow(2**24 - 2**17))
    return address if is_free(0, address) else LOOPBACK


@asynccontextmanager
async def serve_guarded_ui(port: int, ui_host: str, ui_port: int) -> AsyncIterator[None]:
    """Serve the UI at `ui_host` on 127.0.0.1 while the block runs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await _forward_request(reader, writer, ui_host, ui_port)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, port, limit=MAX_HEAD_BYTES)
    try:
        yield
    finally:
        server.close()


async def _forward_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ui_host: str, ui_port: int
) -> None:
    """Forward one request per connection: a later one could be for another host."""
    async with asyncio.timeout(HEAD_TIMEOUT):
        head = await reader.readuntil(b"\r\n\r\n")
    if not is_local_request(head):
        writer.write(MISDIRECTED_RESPONSE)
        await writer.drain()
        return
    try:
        from_ui, to_ui = await asyncio.open_connection(ui_host, ui_port)
    except OSError:
        writer.write(UNAVAILABLE_RESPONSE)
        await writer.drain()
        return
    body = asyncio.create_task(_copy_stream(reader, to_ui))
    try:
        to_ui.write(with_connection_close(head))
        await _copy_stream(from_ui, writer)
    finally:
        body.cancel()
        await asyncio.gather(body, return_exceptions=True)
        to_ui.close()


def with_connection_close(head: bytes) -> bytes:
    """Return the request head with `Connection: close`, so that the UI closes the connection after its response."""
    kept = [name + b":" + value for name, value in headers_of(head) if name.lower() != b"connection"]
    return b"\r\n".join([head.split(b"\r\n", 1)[0], *kept, b"Connection: close", b"", b""])


async def _copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_SIZE):
        writer.write(chunk)
        await writer.drain()
