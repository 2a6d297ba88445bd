"""Test several worker processes under one supervisor: real processes, real signals."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from embedded.process_identity import identity
from tests.code.tree import ROOT
from tests.polling import eventually

COUNT = 2
# A worker writes its pid, and handles SIGTERM with {ending}.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from supervision import worker_processes

def end(*_):
    {ending}

worker_processes.KILL_DELAY = 0.5
worker_processes.CHECKS_BEFORE_KILL = 10_000  # they do not beat
code = worker_processes.WorkerProcesses({count}, drain=0).supervise()
if code is not None:
    sys.exit(code)
signal.signal(signal.SIGTERM, end)
Path(sys.argv[1], str(os.getpid())).touch()
time.sleep(300)
"""
DRAINS = "Path(sys.argv[1], f'{os.getpid()}-drained').touch(); os._exit(0)"

Supervised = Callable[[str], Awaitable["Workers"]]


class Workers:
    """One supervisor, and the files that its workers have written into `folder`."""

    def __init__(self, supervisor: Process, folder: Path) -> None:
        self.supervisor = supervisor
        self._folder = folder

    async def pids(self) -> list[int]:
        """Return the pids of started workers, including those that have ended."""
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    async def drained(self) -> list[int]:
        return sorted(int(path.name.partition("-")[0]) for path in self._folder.glob("*-drained"))

    async def started(self, count: int) -> list[int]:
        return await eventually(self.pids, lambda pids: len(pids) == count)

    async def ended(self) -> int:
        async with asyncio.timeout(60):
            return await self.supervisor.wait()


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    running: list[Workers] = []

    async def start(ending: str = DRAINS) -> Workers:
        program = PROGRAM.format(count=COUNT, ending=ending)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(tmp_path)), cwd=ROOT, stdout=DEVNULL
        )
        running.append(Workers(process, tmp_path))
        return running[-1]

    yield start
    for workers in running:
        if workers.supervisor.returncode is None:
            workers.supervisor.kill()
            await workers.supervisor.wait()
        for pid in await workers.pids():
            if identity(pid):
                os.kill(pid, signal.SIGKILL)


async def test_all_workers_drain_when_the_supervisor_stops(supervised: Supervised) -> None:
    workers = await supervised(DRAINS)
    pids = await workers.started(COUNT)
    workers.supervisor.terminate()
    assert await workers.ended() == 0
    assert await workers.drained() == pids


async def test_a_killed_worker_is_replaced_and_the_other_one_stays(supervised: Supervised) -> None:
    workers = await supervised(DRAINS)
    killed, other = await workers.started(COUNT)
    os.kill(killed, signal.SIGKILL)
    assert len(await workers.started(COUNT + 1)) == COUNT + 1
    assert identity(other)
    workers.supervisor.terminate()
    assert await workers.ended() == 0


async def test_workers_end_when_their_supervisor_is_killed(supervised: Supervised) -> None:
    workers = await supervised(DRAINS)
    pids = await workers.started(COUNT)
    workers.supervisor.kill()
    await workers.ended()
    assert await eventually(workers.drained, pids.__eq__)


async def test_the_exit_code_of_a_worker_that_fails_at_shutdown_is_kept(supervised: Supervised) -> None:
    workers = await supervised("os._exit(3)")
    await workers.started(COUNT)
    workers.supervisor.terminate()
    assert await workers.ended() == 3


async def test_a_worker_with_wrong_settings_ends_all_of_them(supervised: Supervised) -> None:
    workers = await supervised("os._exit(2)")
    first, other = await workers.started(COUNT)
    os.kill(first, signal.SIGTERM)
    assert await workers.ended() == 2
    assert identity(other) is None


async def test_a_worker_that_ignores_its_signal_is_killed_after_the_drain_time(supervised: Supervised) -> None:
    workers = await supervised("pass; time.sleep(300)")
    pids = await workers.started(COUNT)
    workers.supervisor.terminate()
    assert await workers.ended() == 128 + signal.SIGKILL
    assert [pid for pid in pids if identity(pid)] == []


def test_a_worker_can_be_forked_because_its_imports_start_no_thread() -> None:
    code = "import os, worker; print(len(os.listdir('/proc/self/task')))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "1"
