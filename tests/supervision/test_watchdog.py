"""Test that a hanging process ends and a supervisor restarts it: real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import worker
from embedded import supervisor as embedded
from embedded.processes import ProcessSpec
from embedded.supervisor import Supervisor
from supervision import watchdog
from supervision.watchdog import HANG_EXIT_CODE, StallDetector, WorkflowThreads, read_liveness_time
from tests.code.tree import ROOT
from tests.polling import eventually, wait_until

# A server process with short times; `{work}` runs once it sends heartbeats.
PROGRAM = """
import asyncio, signal, sys, time
from pathlib import Path
from supervision import watchdog
from supervision.worker_processes import run_on_uvloop

watchdog.HEARTBEAT_INTERVAL, watchdog.CHECKS_BEFORE_EXIT, watchdog.EXIT_TIMEOUT = 0.2, 5, 0.5

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.create_task(stop.wait()).add_done_callback(lambda _: dog.expect_exit())
    await asyncio.sleep(0.5)
    print("runs", flush=True)
    {work}

dog = watchdog.Watchdog(0.5, watchdog.liveness_writer(Path(sys.argv[1])))
run_on_uvloop(main(), dog)
"""
# A worker process that never sends a heartbeat, as if its interpreter were locked.
SILENT = """
import os, sys, time
from pathlib import Path
from supervision import watchdog, worker_processes

worker_processes.HEARTBEAT_INTERVAL = 0.2
worker_processes.CHECKS_BEFORE_KILL = 5
processes = worker_processes.WorkerProcesses(1, 0, watchdog.liveness_writer(Path(sys.argv[1], "alive")))
code = processes.supervise()
if code is not None:
    sys.exit(code)
Path(sys.argv[1], str(os.getpid())).touch()
for _ in range({beats}):
    processes.heartbeat()
    time.sleep(0.1)
time.sleep(300)
"""


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    return tmp_path / "alive"


async def running(file: Path, work: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM.format(work=work), str(file)), cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"runs\n"
    return process


async def ended(process: Process) -> tuple[int | None, str]:
    async with asyncio.timeout(60):
        _, output = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.parametrize("hang", ["time.sleep(300)", "[None for _ in iter(int, 1)]"])
async def test_a_blocked_event_loop_ends_its_process_and_shows_where_it_hangs(file: Path, hang: str) -> None:
    code, output = await ended(await running(file, hang))
    assert code == HANG_EXIT_CODE
    assert "all workflows hang" in output
    assert "in main" in output


@pytest.mark.parametrize("hang", ["time.sleep(300)", "await asyncio.Event().wait()"])
async def test_a_process_stops_on_sigterm_despite_hanging_work(file: Path, hang: str) -> None:
    process = await running(file, hang)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process))[0] == HANG_EXIT_CODE


async def test_a_working_process_renews_its_file_and_stops_on_sigterm(file: Path) -> None:
    process = await running(file, "await stop.wait()")
    seen = read_liveness_time(file)
    await wait_until(lambda: read_liveness_time(file) != seen)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process))[0] == 0


async def test_a_process_that_was_stopped_for_long_resumes(file: Path) -> None:
    """No part of the process ran in that time, so nothing hung."""
    process = await running(file, "await stop.wait()")
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2.5)  # twice as long as a heartbeat may be late
    process.send_signal(signal.SIGCONT)
    seen = read_liveness_time(file)
    await wait_until(lambda: read_liveness_time(file) != seen)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process))[0] == 0


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SILENT.format(beats=10), str(tmp_path)), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    yield process
    process.terminate()
    await process.wait()


@pytest.mark.usefixtures("silent")
async def test_a_supervisor_kills_a_worker_that_does_not_beat_and_starts_another(tmp_path: Path) -> None:
    """While the worker sends heartbeats, the supervisor touches the file for probes."""

    async def pids() -> list[str]:
        return [name for name in os.listdir(tmp_path) if name.isdigit()]

    [first] = await eventually(pids, lambda seen: len(seen) == 1)
    begun = read_liveness_time(tmp_path / "alive")
    await eventually(pids, lambda seen: len(seen) == 2)
    assert read_liveness_time(tmp_path / "alive") != begun
    with pytest.raises(ProcessLookupError):
        os.kill(int(first), 0)


async def test_the_supervisor_of_make_run_kills_a_hanging_worker_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "HEARTBEAT_INTERVAL", 0.1)
    monkeypatch.setattr(embedded, "CHECKS_BEFORE_KILL", 5)
    file = tmp_path / "alive"
    child = ProcessSpec(
        name="worker", argv=["sh", "-c", f"touch {file}; exec sleep 300"], log=tmp_path / "log", liveness=file
    )
    output: list[str] = []
    async with Supervisor(tmp_path, print_line=output.append) as supervisor:
        await supervisor.start(child)
        first = supervisor.pids["worker"]
        await wait_until(lambda: supervisor.pids.get("worker", first) != first)
    assert "is unresponsive and is killed" in output[0]


def test_checks_of_a_changing_heartbeat_find_no_stall() -> None:
    detector = StallDetector(3)
    assert [detector.is_stalled(heartbeat) for heartbeat in (1, 1, 1, 2, 2, 2, 2)] == [
        False,
        False,
        False,
        False,
        False,
        False,
        True,
    ]


def test_workflow_threads_stand_still_when_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, blocked = WorkflowThreads(), threading.Event()
    assert threads.is_progressing()
    stuck = threads.submit(blocked.wait)
    assert threads.is_progressing()
    monkeypatch.setattr(watchdog, "STUCK_TIMEOUT", 0)
    assert not threads.is_progressing()
    blocked.set()
    assert stuck.result(timeout=60)
    threads.shutdown()
    assert threads.is_progressing()


async def test_a_background_loop_that_dies_ends_the_worker() -> None:
    ends: list[str] = []

    async def dies() -> None:
        raise LookupError("a mistake")

    async def lives() -> None:
        await asyncio.Event().wait()

    stopping = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(LookupError, match="a mistake"):
        await worker.serve([], stopping, [lives, dies], lambda: ends.append("expected"))
    stopping.cancel()
    assert ends == ["expected"]
