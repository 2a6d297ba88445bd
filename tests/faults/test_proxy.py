"""Check the proxy: it forwards everything, and can be dead, slow, cut, or silent after a COMMIT."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from embedded.ports import free_port
from faults.proxy import Proxy

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Proxy a server that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(free_port(), server.sockets[0].getsockname()[1]).open() as proxy:
        yield proxy
    server.close()


async def called(proxy: Proxy) -> Line:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def echo(line: Line, words: bytes, within: float = 2) -> bytes:
    """Return the echo; b"" without one."""
    line[1].write(words)
    try:
        async with asyncio.timeout(within):
            return await line[0].read(100)
    except TimeoutError:
        return b""


async def test_the_proxy_forwards_both_directions(proxy: Proxy) -> None:
    line = await called(proxy)
    assert await echo(line, b"hello") == b"hello"
    line[1].close()


async def test_a_dead_proxy_delivers_everything_afterwards(proxy: Proxy) -> None:
    line = await called(proxy)
    with proxy.dead():
        assert await echo(line, b"hello", within=0.2) == b""
    assert await echo(line, b"") == b"hello"
    line[1].close()


async def test_a_slow_proxy_delays_data(proxy: Proxy) -> None:
    line = await called(proxy)
    began = time.monotonic()
    with proxy.slow(0.1):
        assert await echo(line, b"hello") == b"hello"
    assert time.monotonic() - began >= 0.2
    line[1].close()


async def test_a_cut_proxy_resets_open_and_new_connections(proxy: Proxy) -> None:
    line = await called(proxy)
    assert await echo(line, b"hello") == b"hello"
    with proxy.cut():
        with pytest.raises(ConnectionResetError):
            await echo(line, b"again")
        with pytest.raises(ConnectionResetError):
            await echo(await called(proxy), b"hello?")
    again = await called(proxy)
    assert await echo(again, b"hello") == b"hello"
    again[1].close()


async def test_a_commit_arrives_and_its_response_does_not(proxy: Proxy) -> None:
    line, other = await called(proxy), await called(proxy)
    with proxy.commits_unanswered() as begin:
        assert await echo(line, b"COMMIT;") == b"COMMIT;"
        begin()
        assert await echo(line, b"COMMIT;", within=0.2) == b""
        assert await echo(other, b"SELECT 1;") == b"SELECT 1;"
    assert await echo(line, b"") == b"COMMIT;"
    for _, writer in (line, other):
        writer.close()
