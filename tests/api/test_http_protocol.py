"""Test clients that send too much or too slowly, over real sockets and with a minimal application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from api.http_protocol import MAX_PIPELINED
from api.limits.client_connections import ConnectionLimits, Connections
from api.request_middleware import RequestIdMiddleware
from api.server import ApiServer, server_config
from metrics.registry import REGISTRY
from tests.polling import eventually

HOST = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: tocsin.test\r\n"
POST = b"POST / HTTP/1.1\r\nHost: tocsin.test\r\n"
FORWARDED = b"X-Forwarded-For: 203.0.113.9\r\n\r\n"
IGNORED = "tocsin_forwarded_for_ignored_total"
OK = "200"
LARGE = 8 * 2**20
SOON = ConnectionLimits(header_timeout=0.3, body_timeout=0.3)


@dataclass(frozen=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def status(self) -> str:
        """Return the status of one response, whose body is read. Empty if the connection ends without one."""
        line = await self.reader.readline()
        length = 0
        while (header := await self.reader.readline()).strip():
            name, _, value = header.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        await self.reader.readexactly(length)
        return line.decode()[9:12]

    async def is_closed(self) -> bool:
        try:
            return await self.reader.read(2**20) == b""
        except ConnectionError:
            return True


@dataclass(frozen=True)
class Served:
    port: int
    connections: Connections
    state: ServerState

    async def requests(self) -> int:
        """The number of requests in progress."""
        return len(self.state.tasks)

    @asynccontextmanager
    async def client(self, address: str = HOST) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection(HOST, self.port, local_addr=(address, 0), limit=2 * LARGE)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


async def response(request: Request) -> Response:
    if "early" in request.headers:
        return PlainTextResponse("refused before the body")
    body = await request.body()
    return PlainTextResponse(b"a" * LARGE if body == b"large" else b"read")


@asynccontextmanager
async def served(limits: ConnectionLimits) -> AsyncIterator[Served]:
    app = FastAPI()
    app.add_route("/", response, methods=["GET", "POST"])
    app.add_middleware(RequestIdMiddleware)
    config = server_config(app, HOST, 0, limits)
    server = ApiServer(config)
    serving = asyncio.create_task(server.serve())

    async def port() -> Any:
        return server.started and server.servers[0].sockets[0].getsockname()[1]

    try:
        yield Served(await eventually(port, bool), config.connections, server.server_state)
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Served]:
    async with served(ConnectionLimits()) as server:
        yield server


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


async def test_an_untrusted_forwarded_address_is_logged_once_per_peer_and_counted(server: Served) -> None:
    before = REGISTRY.get_sample_value(IGNORED) or 0
    peers = ["127.0.0.21", "127.0.0.22"]
    with capture_logs() as logs:
        for peer in peers:
            async with server.client(peer) as client:
                for _ in range(2):
                    await client.send(GET, FORWARDED)
                    assert await client.status() == OK
    assert [line["peer"] for line in logs] == peers
    assert REGISTRY.get_sample_value(IGNORED) == before + 4


async def test_the_forwarded_address_of_a_trusted_proxy_is_not_logged() -> None:
    async with served(ConnectionLimits(trusted_networks=("127.0.0.0/8",))) as behind, behind.client() as client:
        with capture_logs() as logs:
            await client.send(GET, FORWARDED)
            assert await client.status() == OK
    assert logs == []


async def test_a_client_that_leaves_is_no_error(server: Served) -> None:
    with capture_logs() as logs:
        async with server.client() as client:
            await client.send(POST, b"Content-Length: 9\r\n\r\npart")
            await eventually(server.requests, bool)
        await eventually(server.requests, lambda number: number == 0)
    assert logs == []


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


@pytest.mark.parametrize(
    "endless",
    [GET + b"X-A: ", b"GET /", POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: "],
    ids=["header", "path", "trailer"],
)
async def test_an_endless_header_is_refused_before_it_is_read(server: Served, endless: bytes) -> None:
    async with server.client() as client:
        sent = 0
        try:
            await client.send(endless)
            while sent < LARGE:
                await client.send(b"a" * 65_536)
                sent += 65_536
        except ConnectionError:
            pass
        assert sent < LARGE or await client.status() == "431"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"X-A: a\r\n" * 99, OK),
        (b"X-A: a\r\n" * 100, "431"),
        (b"X-A: " + b"a" * 32_000 + b"\r\n", OK),
        (b"X-A: " + b"a" * 33_000 + b"\r\n", "431"),
    ],
    ids=["as many", "too many", "as large", "too large"],
)
async def test_headers_have_a_largest_number_and_size(server: Served, headers: bytes, status: str) -> None:
    async with server.client() as client:
        await client.send(GET, headers, b"\r\n")
        assert await client.status() == status


@pytest.mark.parametrize("line", [b"GET http://tocsin.test HTTP/1.1", b"CONNECT tocsin.test:443 HTTP/1.1"])
async def test_a_target_without_a_path_is_refused(server: Served, line: bytes) -> None:
    async with server.client() as client:
        await client.send(line, b"\r\nHost: tocsin.test\r\n\r\n")
        assert await client.status() == "400"


async def test_pipelined_requests_are_served_up_to_a_limit(server: Served) -> None:
    async with server.client() as client:
        await client.send((GET + b"\r\n") * MAX_PIPELINED)
        assert [await client.status() for _ in range(MAX_PIPELINED)] == [OK] * MAX_PIPELINED
        await client.send((GET + b"\r\n") * (MAX_PIPELINED + 5))
        assert await client.is_closed()


async def test_large_bodies_do_not_count_as_headers(server: Served) -> None:
    chunks = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    async with server.client() as client:
        await client.send(POST, b"Transfer-Encoding: chunked\r\n\r\n", chunks * 20, b"0\r\n\r\n", GET, b"\r\n")
        assert [await client.status(), await client.status()] == [OK, OK]


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
