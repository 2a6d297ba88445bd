"""Workflow code that blocks its thread for good: the worker ends in time when it is told to, and by itself when nothing
else ends. A real worker, with a workflow of which one type blocks."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap import open_parts
from config_sources import PREFIX
from testing.stage import serving
from tests.code.tree import ROOT
from tests.engine import Engine, open_shop, prepared
from tests.polling import eventually
from watchdog import HANGS

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PROGRAM = """
import os, time, watchdog, worker
from workflows.notification import NotificationWorkflow

send = NotificationWorkflow._send

async def blocks(self):
    if self._start.notification_type == "blocks":
        time.sleep(600)
    return await send(self)

NotificationWorkflow._send = blocks
watchdog.THREADS = {threads}
os._exit(worker.run_processes())
"""


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """A worker that has a blocked workflow."""

    process: Process
    engine: Engine

    async def ended(self) -> int:
        async with asyncio.timeout(120):
            return await self.process.wait()


@pytest.fixture
async def blocked(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Blocked]:
    """With so many threads for workflow code."""
    async with (
        prepared(database_url, tmp_path) as (settings, client),
        open_parts(settings, client=client) as parts,
        serving(parts),
    ):
        given = {
            "ENV": "dev",
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "API_PORT": str(settings.api_port),
            "DRAIN_TIMEOUT": "1",
            "WORKERS": "1",
        }
        log = tmp_path / "worker.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM.format(threads=request.param)),
                cwd=ROOT,
                stdout=out,
                stderr=out,
                env={**os.environ, **{f"{PREFIX}{name}": value for name, value in given.items()}},
            )
        engine = Engine(parts=parts, temporal_address=settings.temporal_address)
        async with open_shop(engine) as shop:
            await shop.type("blocks", ["email"])
            await shop.person("ada", email="ada@example.com")
            await shop.send("blocks")

            async def said() -> str:
                return log.read_text()

            await eventually(said, lambda text: "_DeadlockError" in text)
        yield Blocked(process=process, engine=engine)
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("blocked", [500], indirect=True)
async def test_a_worker_with_a_blocked_workflow_sends_what_else_there_is_and_ends_when_it_is_told_to(
    blocked: Blocked,
) -> None:
    async with open_shop(blocked.engine) as shop:
        await shop.type("news", ["email"])
        await shop.person("bob", email="bob@example.com")
        await shop.until(await shop.send("news", "bob"), "DELIVERED")
    blocked.process.send_signal(signal.SIGTERM)
    assert await blocked.ended() == HANGS


@pytest.mark.long
@pytest.mark.parametrize("blocked", [1], indirect=True)
async def test_a_worker_in_which_nothing_else_can_run_ends_by_itself(blocked: Blocked) -> None:
    assert await blocked.ended() == HANGS
