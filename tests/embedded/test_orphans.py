import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.orphan_processes import ProcessRecord, stop_orphan_processes
from embedded.process_identity import identity
from embedded.processes import with_parent_death_signal
from tests.polling import wait_until

# A parent that starts a child in its own session and waits to be killed; the child prints its pid.
PARENT = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True).wait()"
SPEAKER = (sys.executable, "-S", "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(300)")
SLEEPER = (sys.executable, "-S", "-c", "import time; time.sleep(300)")


@pytest.fixture
async def sleeper() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*SLEEPER, start_new_session=True, stdout=DEVNULL)
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def born(process: Process) -> str:
    birth = identity(process.pid)
    assert birth
    return birth


async def test_a_recorded_process_that_still_runs_is_stopped(sleeper: Process, tmp_path: Path) -> None:
    ProcessRecord(sleeper.pid, born(sleeper), signal.SIGTERM, 5).write(tmp_path / "worker.pid")
    assert await stop_orphan_processes(tmp_path, ("api", "worker")) == ["worker"]
    assert await sleeper.wait() == -signal.SIGTERM
    assert left_in(tmp_path) == []


async def test_a_recycled_pid_is_never_signalled(sleeper: Process, tmp_path: Path) -> None:
    ProcessRecord(sleeper.pid, "another boot/12345", signal.SIGTERM, 5).write(tmp_path / "worker.pid")
    assert await stop_orphan_processes(tmp_path, ("worker",)) == []
    assert identity(sleeper.pid)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("text", ["", "12", "{", json.dumps({"pid": 1})])
async def test_a_record_cut_short_is_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "api.pid").write_text(text)
    assert await stop_orphan_processes(tmp_path, ("api",)) == []
    assert left_in(tmp_path) == []


async def test_an_orphan_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    deaf = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE, start_new_session=True)
    assert deaf.stdout
    await deaf.stdout.readline()
    ProcessRecord(deaf.pid, born(deaf), signal.SIGTERM, 0.2).write(tmp_path / "api.pid")
    assert await stop_orphan_processes(tmp_path, ("api",)) == ["api"]
    assert await deaf.wait() == -signal.SIGKILL


async def test_an_identity_stays_the_same_and_ends_with_the_process(sleeper: Process) -> None:
    assert identity(sleeper.pid) == born(sleeper)
    sleeper.kill()
    await sleeper.wait()
    assert identity(sleeper.pid) is None


@pytest.mark.skipif(with_parent_death_signal(["x"]) == ["x"], reason="this machine has no setpriv with --pdeathsig")
async def test_a_child_with_a_parent_death_signal_ends_with_its_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *with_parent_death_signal(SPEAKER), stdout=PIPE
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    assert identity(child)
    parent.kill()
    await parent.wait()
    await wait_until(lambda: identity(child) is None)
