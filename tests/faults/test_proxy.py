"""The wire between two processes: it passes everything on, and can be dead, slow, cut, or silent after a COMMIT."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from embedded.ports import free_port
from tests.faults.proxy import Proxy

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def wire() -> AsyncIterator[Proxy]:
    """To a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(free_port(), server.sockets[0].getsockname()[1]).open() as wire:
        yield wire
    server.close()


async def called(wire: Proxy) -> Line:
    return await asyncio.open_connection("127.0.0.1", wire.port)


async def said(line: Line, words: bytes, within: float = 2) -> bytes:
    """What comes back; b"" if nothing does."""
    line[1].write(words)
    try:
        async with asyncio.timeout(within):
            return await line[0].read(100)
    except TimeoutError:
        return b""


async def test_it_passes_on_what_is_said(wire: Proxy) -> None:
    line = await called(wire)
    assert await said(line, b"hello") == b"hello"
    line[1].close()


async def test_while_it_is_dead_nothing_arrives_and_afterwards_everything(wire: Proxy) -> None:
    line = await called(wire)
    with wire.dead():
        assert await said(line, b"hello", within=0.2) == b""
    assert await said(line, b"") == b"hello"
    line[1].close()


async def test_slow_it_takes_its_time(wire: Proxy) -> None:
    line = await called(wire)
    began = time.monotonic()
    with wire.slow(0.1):
        assert await said(line, b"hello") == b"hello"
    assert time.monotonic() - began >= 0.2
    line[1].close()


async def test_cut_it_resets_who_is_there_and_who_comes(wire: Proxy) -> None:
    line = await called(wire)
    assert await said(line, b"hello") == b"hello"
    with wire.cut():
        with pytest.raises(ConnectionResetError):
            await said(line, b"again")
        with pytest.raises(ConnectionResetError):
            await said(await called(wire), b"anybody?")
    again = await called(wire)
    assert await said(again, b"hello") == b"hello"
    again[1].close()


async def test_a_commit_arrives_and_is_not_answered(wire: Proxy) -> None:
    line, other = await called(wire), await called(wire)
    with wire.commits_unanswered() as begin:
        assert await said(line, b"COMMIT;") == b"COMMIT;"
        begin()
        assert await said(line, b"COMMIT;", within=0.2) == b""
        assert await said(other, b"SELECT 1;") == b"SELECT 1;"
    assert await said(line, b"") == b"COMMIT;"
    for _, writer in (line, other):
        writer.close()
