"""Test the size, pipelining and forwarded address of requests, over real sockets and with a minimal application."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from api.http_protocol import MAX_PIPELINED
from api.limits.client_connections import ConnectionLimits
from metrics.registry import REGISTRY
from tests.api.served_sockets import GET, LARGE, OK, POST, Served, served
from tests.polling import eventually

FORWARDED = b"X-Forwarded-For: 203.0.113.9\r\n\r\n"
IGNORED = "tocsin_forwarded_for_ignored_total"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Served]:
    async with served(ConnectionLimits()) as server:
        yield server


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
