"""Run a command that starts workers, on real servers and with an API in the process of the test."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap import open_container
from config.sources import PREFIX
from testing.installation import running_api
from tests.code.tree import ROOT
from tests.engine import Engine, engine_servers


@dataclass(frozen=True, kw_only=True)
class WorkerCommand:
    process: Process
    engine: Engine
    log: Path

    async def logged(self) -> str:
        return self.log.read_text()

    async def ended(self, within: float = 120) -> int:
        """Return its exit code."""
        async with asyncio.timeout(within):
            return await self.process.wait()


@asynccontextmanager
async def worker_command(database_url: str, home: Path, *arguments: str, count: int) -> AsyncIterator[WorkerCommand]:
    """Run Python with these arguments and the settings of `count` worker processes. Kill it at the end."""
    async with (
        engine_servers(database_url, home) as (settings, client),
        open_container(settings, client=client) as container,
        running_api(container),
    ):
        given = {
            "ENV": "dev",
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "API_PORT": str(settings.api_port),
            "DRAIN_TIMEOUT": "1",
            "WORKERS": str(count),
        }
        environment = {**os.environ, **{f"{PREFIX}{name}": value for name, value in given.items()}}
        log = home / "worker.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, stdout=out, stderr=out, env=environment
            )
        yield WorkerCommand(
            process=process, engine=Engine(container=container, temporal_address=settings.temporal_address), log=log
        )
        if process.returncode is None:
            process.kill()
            await process.wait()
