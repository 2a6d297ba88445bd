"""Test the deadlines of requests and the limits of connections, over real sockets and with a minimal application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from api.limits.client_connections import ConnectionLimits
from tests.api.served_sockets import GET, OK, POST, Served, served
from tests.polling import eventually

SOON = ConnectionLimits(header_timeout=0.3, body_timeout=0.3)


@pytest.fixture(scope="module")
async def short_deadline_server() -> AsyncIterator[Served]:
    async with served(SOON) as server:
        yield server


@pytest.mark.parametrize(
    "begun",
    [GET, POST + b"Content-Length: 9\r\n\r\npart", POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"],
    ids=["headers", "body", "chunks"],
)
async def test_a_request_that_exceeds_the_deadline_gets_408(short_deadline_server: Served, begun: bytes) -> None:
    async with short_deadline_server.client() as client:
        await client.send(begun)
        assert await client.status() == "408"
        assert await client.is_closed()


async def test_a_connection_without_a_request_is_closed_without_a_response(short_deadline_server: Served) -> None:
    async with short_deadline_server.client() as client:
        assert await client.is_closed()


async def test_a_late_second_request_counts_from_its_first_byte(short_deadline_server: Served) -> None:
    async with short_deadline_server.client() as client:
        await client.send(GET, b"\r\n")
        assert await client.status() == OK
        await too_late(short_deadline_server)
        await client.send(GET, b"\r\n")
        assert await client.status() == OK
        await client.send(GET)
        assert await client.status() == "408"


async def too_late(server: Served) -> None:
    """Wait until a request is too late."""
    async with server.client() as client:
        await client.send(GET)
        assert await client.status() == "408"


async def test_a_connection_is_idle_after_an_early_response_too() -> None:
    async with served(ConnectionLimits(idle_timeout=1)) as server, server.client() as client:
        await client.send(POST, b"Early: yes\r\nContent-Length: 10\r\n\r\n12345")
        assert await client.status() == OK
        await client.send(b"67890")
        async with asyncio.timeout(60):
            assert await client.is_closed()


async def test_an_evicted_connection_ends_although_its_client_reads_nothing() -> None:
    limit = 10
    async with served(ConnectionLimits(connections=limit)) as server, AsyncExitStack() as stack:
        for _ in range(limit):
            client = await stack.enter_async_context(server.client())
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(POST, b"Content-Length: 5\r\n\r\nlarge")

        async def next_status() -> str:
            async with server.client() as late:
                try:
                    await late.send(GET, b"\r\n")
                    return await late.status()
                except ConnectionError:
                    return ""

        async def still_open() -> int:
            return len(server.state.connections)

        await eventually(next_status, OK.__eq__)
        await eventually(still_open, lambda number: number < limit)


async def test_a_response_that_is_not_read_ends_the_connection(short_deadline_server: Served) -> None:
    before = len(short_deadline_server.connections)
    async with short_deadline_server.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(POST, b"Content-Length: 5\r\n\r\nlarge")

        async def left() -> int:
            return len(short_deadline_server.connections)

        await eventually(left, lambda number: number > before)
        await eventually(left, lambda number: number == before)


async def test_a_source_has_its_own_limit_of_connections() -> None:
    async with (
        served(ConnectionLimits(per_source=1, trusted_networks=("127.0.0.9/32",))) as server,
        server.client() as first,
        server.client() as second,
        server.client("127.0.0.2") as other,
        server.client("127.0.0.9") as proxy,
        server.client("127.0.0.9") as proxied,
    ):
        assert await second.status() == "503"
        for client in (first, other, proxy, proxied):
            await client.send(GET, b"\r\n")
            assert await client.status() == OK


async def test_a_full_server_closes_unfinished_requests_before_idle_connections() -> None:
    async with (
        served(ConnectionLimits(connections=2)) as server,
        server.client() as idle,
        server.client() as unfinished,
    ):
        await idle.send(GET, b"\r\n")
        assert await idle.status() == OK
        await unfinished.send(GET)

        async def try_another() -> str:
            async with server.client() as another:
                await another.send(GET, b"\r\n")
                return await another.status()

        await eventually(try_another, lambda status: status == OK)
        assert await unfinished.status() == "503"
        await idle.send(GET, b"\r\n")
        assert await idle.status() == OK
