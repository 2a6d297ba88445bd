"""Guard Temporal's Web UI of `make run`: respond to names of this machine only (DNS rebinding).

The UI has no login and does not check the Host header, so a web page whose name resolves to 127.0.0.1 could read every
payload through a browser. The guard listens on the documented port. The UI itself listens on a random loopback address,
because nothing on 127.0.0.1 would keep that page from calling it directly.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
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
    """Serve the UI at `ui_host` on 127.0.0.1 while the block runs; close open connections at its end."""
    connections: set[asyncio.Task[None]] = set()

    def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve_connection(reader, writer, ui_host, ui_port))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connect, LOOPBACK, port, limit=MAX_HEAD_BYTES)
    try:
        yield
    finally:
        server.close()
        await _cancel(connections)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ui_host: str, ui_port: int
) -> None:
    try:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await _forward_request(reader, writer, ui_host, ui_port)
            writer.close()
            await writer.wait_closed()
    finally:
        writer.transport.abort()  # a client that does not read would keep close() waiting


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
    try:
        to_ui.write(with_connection_close(head))
        await _copy_until_either_ends((reader, to_ui), (from_ui, writer))
    finally:
        to_ui.transport.abort()


async def _copy_until_either_ends(*directions: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Copy each reader to its writer. A client that closes its direction has left, as for other HTTP servers."""
    copies = [asyncio.create_task(_copy_stream(reader, writer)) for reader, writer in directions]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(copies)


def with_connection_close(head: bytes) -> bytes:
    """Return the request head with `Connection: close`, so that the UI closes the connection after its response."""
    kept = [name + b":" + value for name, value in headers_of(head) if name.lower() != b"connection"]
    return b"\r\n".join([head.split(b"\r\n", 1)[0], *kept, b"Connection: close", b"", b""])


async def _copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_SIZE):
        writer.write(chunk)
        await writer.drain()
