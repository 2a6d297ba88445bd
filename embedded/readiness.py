"""Probe a server that may not be ready: does it accept connections, does it respond with 200?"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

Probe = Callable[[], Awaitable[bool]]

PROBE_TIMEOUT = 5.0


async def always_ready() -> bool:
    """Report ready: the probe of a process that is ready as soon as it runs."""
    return True


async def accepts_connections(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    await _close(writer)
    return True


async def responds_ok(host: str, port: int, path: str) -> bool:
    """Return whether a plain GET gets status 200."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                status = (await reader.readline()).split()
            finally:
                await _close(writer)
    except (OSError, TimeoutError):
        return False
    return status[1:2] == [b"200"]


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
