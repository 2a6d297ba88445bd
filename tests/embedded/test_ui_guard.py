"""Test that the guard of Temporal's Web UI forwards requests for names of this machine, one per connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import httpx2
import pytest

from embedded.ports import LOOPBACK, free_port
from embedded.ui_guard import random_loopback_address, serve_guarded_ui
from tests.polling import wait_until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SECONDS = 10.0  # only for a test that hangs
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def ui() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yield the guard's address, and the heads of the requests that reached a UI behind it."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = await reader.readexactly(5) if b"content-length: 5" in heads[-1].lower() else b"-"
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body + b"x" * 200_000)
        await writer.drain()
        writer.close()

    host = random_loopback_address()
    port = free_port()
    server = await asyncio.start_server(serve, host, 0)
    async with server, serve_guarded_ui(port, host, server.sockets[0].getsockname()[1]):
        yield f"http://127.0.0.1:{port}", heads


@asynccontextmanager
async def silent_ui() -> AsyncIterator[tuple[tuple[str, int], asyncio.Queue[Streams]]]:
    """Yield the address of a UI that does not respond, and the connections to it."""
    connections: asyncio.Queue[Streams] = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: connections.put_nowait(streams), random_loopback_address(), 0)
    try:
        yield server.sockets[0].getsockname(), connections
    finally:
        server.close()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8233", "[::1]:8233", "LOCALHOST:1"])
async def test_a_name_of_this_machine_passes(host: str) -> None:
    async with ui() as (url, heads), httpx2.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{url}/a?b=c", content=b"12345", headers={"Host": host})
    assert (response.status_code, len(response.content)) == (200, 200_005)
    assert response.content.startswith(b"12345")
    [head] = heads
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert head.lower().count(b"connection:") == 1
    assert b"\r\nConnection: close\r\n" in head


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8233", "192.168.1.7", ""])
async def test_any_other_name_is_refused(host: str) -> None:
    async with ui() as (url, heads), httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(url, headers={"Host": host})).status_code == 421
    assert heads == []


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: rebound.example\r\n", b"host : localhost\r\n"])
async def test_a_request_without_one_clear_host_is_refused(hosts: bytes) -> None:
    async with ui() as (url, heads):
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port)
        writer.write(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
        writer.close()
    assert heads == []


async def test_the_guard_reports_a_missing_ui() -> None:
    port = free_port()
    async with serve_guarded_ui(port, random_loopback_address(), 1), httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 502


async def test_the_guard_leaves_the_ui_when_the_client_has_left() -> None:
    port = free_port()
    async with asyncio.timeout(SECONDS), silent_ui() as (address, connections), serve_guarded_ui(port, *address):
        _, to_guard = await asyncio.open_connection(LOOPBACK, port)
        to_guard.write(REQUEST)
        from_guard, to_client = await connections.get()
        await close(to_guard)
        assert (await from_guard.read()).startswith(b"GET /events ")
        await close(to_client)


@pytest.mark.parametrize("request_head", [b"", REQUEST])
async def test_the_guard_closes_open_connections_at_its_end(request_head: bytes) -> None:
    port = free_port()
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(SECONDS), silent_ui() as (address, connections):
        async with serve_guarded_ui(port, *address):
            from_guard, to_guard = await asyncio.open_connection(LOOPBACK, port)
            to_guard.write(request_head)
            await wait_until(lambda: asyncio.all_tasks() > tasks)
            if request_head:
                from_ui = await connections.get()
        assert asyncio.all_tasks() == tasks
        assert await from_guard.read() == b""
        await close(to_guard)
        if request_head:
            await from_ui[0].read()
            await close(from_ui[1])


async def test_the_guard_ends_while_a_client_does_not_read() -> None:
    port = free_port()
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(SECONDS), silent_ui() as (address, connections):
        async with serve_guarded_ui(port, *address):
            _, to_guard = await asyncio.open_connection(LOOPBACK, port, limit=1)
            to_guard.write(REQUEST)
            _, to_client = await connections.get()
            to_client.write(b"x" * 50_000_000)
        assert asyncio.all_tasks() == tasks
        to_client.transport.abort()
        to_guard.transport.abort()


def test_the_ui_listens_where_a_page_cannot_guess() -> None:
    addresses = {random_loopback_address() for _ in range(20)}
    assert len(addresses) > 1
    assert all(ip_address(address).is_loopback for address in addresses)
