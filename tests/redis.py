"""Run the Redis server of this machine for tests. Tests that need it are skipped on a machine without it."""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from embedded.ports import free_port
from embedded.readiness import accepts_connections
from tests.polling import eventually

SERVER = shutil.which("redis-server")
HOST = "127.0.0.1"
needs_redis = pytest.mark.skipif(SERVER is None, reason="there is no redis-server on this machine")


@dataclass
class RedisServer:
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    async def start(self) -> None:
        options = ("--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no")
        self.process = await asyncio.create_subprocess_exec(str(SERVER), *options, stdout=DEVNULL)
        await eventually(lambda: accepts_connections(HOST, self.port), bool)

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
            self.process = None


@asynccontextmanager
async def running_redis() -> AsyncIterator[RedisServer]:
    server = RedisServer(free_port())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
