"""Proxy a connection between two processes that can be slow, dead or cut: one port in front of one server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from faults.pace import wait_seconds
from testing.vendors.http import reset

CHUNK = 65_536
HOST = "127.0.0.1"


class Proxy:
    """Forward everything by default. `delay` is in seconds, in each direction."""

    def __init__(self, port: int, server: int) -> None:
        self.port = port
        self._server_port = server
        self._delay = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._commits_answered = asyncio.Event()
        self._commits_answered.set()
        self._refuses = False
        self._lines: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Proxy"]:
        listener = await asyncio.start_server(self._connect, HOST, self.port)
        try:
            yield self
        finally:
            listener.close()
            self.reset()

    @contextmanager
    def dead(self) -> Iterator[None]:
        """Stop forwarding while the block runs: connections stay open, and pending data arrives afterwards."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    @contextmanager
    def commits_unanswered(self) -> Iterator[Callable[[], None]]:
        """Hold responses of Postgres, from the call of the yielded function: a COMMIT arrives, its response does not,
        and the connection is silent from then on.
        """
        try:
            yield self._commits_answered.clear
        finally:
            self._commits_answered.set()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Break every connection and refuse new ones."""
        self._refuses = True
        self.reset()
        try:
            yield
        finally:
            self._refuses = False

    @contextmanager
    def leading_to(self, server: int) -> Iterator[None]:
        """Break every connection and forward new ones to another server."""
        right, self._server_port = self._server_port, server
        self.reset()
        try:
            yield
        finally:
            self._server_port = right
            self.reset()

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        for line in list(self._lines):
            for end in line:
                reset(end)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            return reset(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._server_port)
        except OSError:
            return reset(writer)
        line = (writer, far_writer)
        self._lines.add(line)
        answers = asyncio.Event()
        answers.set()
        ways = [
            asyncio.create_task(self._there(reader, far_writer, answers)),
            asyncio.create_task(self._back(far_reader, writer, answers)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._lines.discard(line)
        for end in line:
            end.close()
        return None

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: asyncio.Event) -> None:
        async for chunk in self._chunks(reader):
            if not self._commits_answered.is_set() and b"COMMIT" in chunk:
                answers.clear()
            writer.write(chunk)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: asyncio.Event) -> None:
        async for chunk in self._chunks(reader):
            if not answers.is_set():
                await self._commits_answered.wait()
                answers.set()
            writer.write(chunk)
            await writer.drain()

    async def _chunks(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                if self._delay:
                    await wait_seconds(self._delay)
                await self._flows.wait()
                yield chunk
