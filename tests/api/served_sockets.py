"""Serve a minimal application on a socket, with clients that write bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from uvicorn.server import ServerState

from api.limits.client_connections import ConnectionLimits, Connections
from api.request_middleware import RequestIdMiddleware
from api.server import ApiServer, server_config
from tests.polling import eventually

HOST = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: tocsin.test\r\n"
POST = b"POST / HTTP/1.1\r\nHost: tocsin.test\r\n"
OK = "200"
LARGE = 8 * 2**20


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
