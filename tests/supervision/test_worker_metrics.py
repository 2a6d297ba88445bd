"""Test one metrics page for all worker processes of a machine, also while one is frozen or was restarted."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.sources import PREFIX
from embedded.ports import free_port
from metrics.fetch import fetch_page
from metrics.page import UP_METRIC
from tests.code.tree import ROOT
from tests.engine import engine_servers
from tests.metrics.names import families, samples, value
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

START = "process_start_time_seconds"
SDK = "temporal_"


class MeteredWorkers:
    """The supervisor of two processes, and the page that they serve."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._port = port

    async def page(self) -> str:
        return await fetch_page(self._port, within=10) or ""

    async def up(self) -> dict[str, float]:
        return {labels["process"]: number for labels, number in samples(await self.page(), UP_METRIC)}

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


@pytest.fixture
async def workers(database_url: str, tmp_path: Path) -> AsyncIterator[MeteredWorkers]:
    port = free_port()
    async with engine_servers(database_url, tmp_path) as (settings, _):
        given = {
            "ENV": "dev",
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "DRAIN_TIMEOUT": "1",
            "WORKERS": "2",
            "METRICS_PORT": str(port),
        }
        environment = {**os.environ, **{f"{PREFIX}{name}": value for name, value in given.items()}}
        with (tmp_path / "worker.log").open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "worker.py", cwd=ROOT, stdout=out, env=environment
            )
        workers = MeteredWorkers(process, port)
        try:
            yield workers
        finally:
            for pid in workers.pids():
                os.kill(pid, signal.SIGCONT)
            process.terminate()
            async with asyncio.timeout(60):
                await process.wait()


async def test_one_page_shows_both_processes_temporals_metrics_and_one_leader(workers: MeteredWorkers) -> None:
    await eventually(workers.up, {"0": 1, "1": 1}.__eq__)

    def is_complete(page: str) -> bool:
        return value(page, "tocsin_leader") == 1 and "tocsin_queue_depth" in page and SDK in page

    page = await eventually(workers.page, is_complete)
    found = families(page)
    assert page.count("# TYPE tocsin_leader gauge") == 1
    assert all("process" in sample.labels for family in found.values() for sample in family.samples)
    pollers = [name for name in found if name.startswith(SDK)]
    assert "temporal_num_pollers" in pollers


async def test_a_frozen_process_is_shown_and_one_that_was_killed_comes_back(workers: MeteredWorkers) -> None:
    await eventually(workers.up, {"0": 1, "1": 1}.__eq__)
    frozen, killed = workers.pids()
    os.kill(frozen, signal.SIGSTOP)
    up = await eventually(workers.up, lambda seen: sorted(seen.values()) == [0, 1])
    [number] = [each for each, is_up in up.items() if not is_up]
    os.kill(frozen, signal.SIGCONT)
    page = await eventually(workers.page, lambda seen: value(seen, UP_METRIC) == 2)
    [other] = {"0", "1"} - {number}
    started = value(page, START, process=other)
    os.kill(killed, signal.SIGKILL)

    def is_new(page: str) -> bool:
        return value(page, UP_METRIC) == 2 and value(page, START, process=other) > started

    await eventually(workers.page, is_new)
