"""`worker.py` with several processes, on real servers."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bootstrap import open_parts
from config_sources import PREFIX
from domain.names import NOTIFICATIONS_QUEUE
from embedded.identity import identity
from testing.stage import serving
from tests.code.tree import ROOT
from tests.engine import Engine, open_shop, prepared
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

COUNT = 2


class Supervised:
    """The supervisor of `worker.py`, and what its processes have written about themselves."""

    def __init__(self, process: Process, engine: Engine, log: Path) -> None:
        self.process = process
        self.engine = engine
        self.log = log
        self._database = engine.parts.database

    async def rows(self) -> list[dict[str, Any]]:
        async with self._database.transaction() as session:
            rows = await session.execute(text("SELECT * FROM process WHERE kind = 'worker' ORDER BY started_at"))
            return [dict(row) for row in rows.mappings()]

    async def reported(self, *without: int) -> list[int]:
        """The pids, once so many processes as there are to be have a row, none of them one of these."""
        rows = await eventually(self.rows, lambda seen: len({row["pid"] for row in seen} - {*without}) == COUNT)
        return [row["pid"] for row in rows if row["pid"] not in without]


@pytest.fixture
async def supervised(database_url: str, tmp_path: Path) -> AsyncIterator[Supervised]:
    """Beside an API in the test's process."""
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
            "WORKERS": str(COUNT),
        }
        environment = {**os.environ, **{f"{PREFIX}{name}": value for name, value in given.items()}}
        log = tmp_path / "worker.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "worker.py", NOTIFICATIONS_QUEUE), cwd=ROOT, stdout=out, env=environment
            )
        supervised = Supervised(process, Engine(parts=parts, temporal_address=settings.temporal_address), log)
        yield supervised
        pids = [row["pid"] for row in await supervised.rows()]
        if process.returncode is None:
            process.kill()
            await process.wait()
        for pid in pids:
            if identity(pid):
                os.kill(pid, signal.SIGKILL)


async def test_each_process_has_a_row_and_sends_from_the_named_queue_until_all_drain(supervised: Supervised) -> None:
    killed, _ = await supervised.reported()
    assert [row["providers"] for row in await supervised.rows()] == [["in_app", "sandbox"]] * COUNT
    async with open_shop(supervised.engine) as shop:
        await shop.type("news", ["email"])
        await shop.person("ada", email="ada@example.com")
        for id in [await shop.send("news") for _ in range(10)]:
            await shop.until(id, "DELIVERED")
    os.kill(killed, signal.SIGKILL)
    pids = await supervised.reported(killed)
    ready = '"queues": ["notifications"], "event": "worker ready"'

    async def said() -> int:
        return supervised.log.read_text().count(ready)

    await eventually(said, (COUNT + 1).__eq__)
    supervised.process.terminate()
    async with asyncio.timeout(60):
        assert await supervised.process.wait() == 0
    assert [row["pid"] for row in await supervised.rows()] == [killed]
    assert [pid for pid in pids if identity(pid)] == []
