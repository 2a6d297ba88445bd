import os
import signal
import sys
import time
from pathlib import Path

import pytest

from embedded.errors import StackError
from embedded.process_identity import identity
from embedded.supervisor import Supervisor
from supervision.worker_processes import Backoff
from tests.embedded.conftest import Eventually, MakeChild

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
RECORD_KEEPER = """
import signal, sys, time
def leave(*_):
    open({book!r}, "a").write({name!r} + " ")
    sys.exit(0)
signal.signal(15, leave)
print("deaf", flush=True)
time.sleep(300)
"""


def has_written(log: Path) -> bool:
    return log.exists() and log.stat().st_size > 0


def read_words(book: Path) -> list[str]:
    return book.read_text().split()


def records_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.pid"))


async def test_a_killed_child_is_restarted_at_once_with_a_new_pid(
    supervisor: Supervisor, make_child: MakeChild, lines: list[str], eventually: Eventually
) -> None:
    await supervisor.start(make_child("worker"))
    first = supervisor.pids["worker"]
    os.kill(first, signal.SIGKILL)
    took = await eventually(lambda: supervisor.pids.get("worker", first) != first)
    assert took < 5
    assert identity(supervisor.pids["worker"])
    assert len(lines) == 1
    assert f"worker (pid {first}) was killed by SIGKILL; starting it again in 0.1 s" in lines[0]


async def test_a_new_pid_is_reported_and_the_hook_runs_after_each_start(
    tmp_path: Path, make_child: MakeChild, eventually: Eventually
) -> None:
    reported: list[dict[str, int]] = []
    starts: list[int] = []

    async def hook() -> None:
        starts.append(1)

    async with Supervisor(
        tmp_path, print_line=lambda _: None, on_change=lambda: reported.append(supervisor.pids)
    ) as it:
        supervisor = it
        await supervisor.start(make_child("temporal", after_start=hook))
        os.kill(supervisor.pids["temporal"], signal.SIGKILL)
        await eventually(lambda: len(starts) == 2)
        assert reported[-1] == supervisor.pids
        assert reported[0] != reported[-1]


async def test_a_hook_that_fails_on_a_restart_is_retried(
    supervisor: Supervisor, make_child: MakeChild, eventually: Eventually
) -> None:
    calls: list[int] = []

    async def hook() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise StackError("not yet")

    await supervisor.start(make_child("temporal", after_start=hook))
    os.kill(supervisor.pids["temporal"], signal.SIGKILL)
    await eventually(lambda: len(calls) == 3)


async def test_a_child_that_dies_at_its_first_start_raises_its_last_output(
    supervisor: Supervisor, make_child: MakeChild
) -> None:
    async def never() -> bool:
        return False

    child = make_child("api", "import sys; sys.exit('no such table')", ready=never)
    with pytest.raises(StackError, match="api ended with exit code 1:\nno such table"):
        await supervisor.start(child)


async def test_a_child_that_is_never_ready_is_an_error_and_is_stopped(
    supervisor: Supervisor, make_child: MakeChild
) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(StackError, match=r"api was not ready within 0\.2 s"):
        await supervisor.start(make_child("api", ready=never, ready_timeout=0.2))
    assert identity(supervisor.pids["api"]) is None


async def test_children_stop_in_reverse_order_even_after_a_restart(
    tmp_path: Path, make_child: MakeChild, eventually: Eventually
) -> None:
    book = str(tmp_path / "book")
    async with Supervisor(tmp_path, print_line=lambda _: None) as supervisor:
        for name in ("postgres", "temporal", "worker", "api"):
            await supervisor.start(make_child(name, RECORD_KEEPER.format(book=book, name=name)))
        await eventually(lambda: all(has_written(tmp_path / f"{name}.log") for name in supervisor.pids))
        killed = supervisor.pids["postgres"]
        (tmp_path / "postgres.log").write_text("")
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: supervisor.pids.get("postgres", killed) != killed)
        await eventually(lambda: has_written(tmp_path / "postgres.log"))
        assert len(supervisor.pids) == 4
    assert read_words(tmp_path / "book") == ["api", "worker", "temporal", "postgres"]
    assert not records_in(tmp_path)


async def test_a_child_that_ignores_its_signal_is_killed_after_its_grace_period(
    supervisor: Supervisor, make_child: MakeChild, tmp_path: Path, eventually: Eventually
) -> None:
    await supervisor.start(make_child("worker", STUBBORN, grace=0.3))
    pid = supervisor.pids["worker"]
    await eventually(lambda: has_written(tmp_path / "worker.log"))
    started = time.monotonic()
    await supervisor.stop()
    assert 0.3 <= time.monotonic() - started < 8
    assert identity(pid) is None


async def test_children_of_one_stage_are_stopped_together(
    supervisor: Supervisor, make_child: MakeChild, tmp_path: Path, eventually: Eventually
) -> None:
    names = [f"worker-{number}" for number in range(4)]
    for name in names:
        await supervisor.start(make_child(name, STUBBORN, stage="worker", grace=10, min_grace=1))
    await eventually(lambda: all(has_written(tmp_path / f"{name}.log") for name in names))
    started = time.monotonic()
    await supervisor.stop(within=2)
    assert 2 <= time.monotonic() - started < 8
    assert records_in(tmp_path) == []


async def test_children_deaf_to_their_signals_are_stopped_within_the_whole_time(
    supervisor: Supervisor, make_child: MakeChild, tmp_path: Path, eventually: Eventually
) -> None:
    names = ("postgres", "temporal", "worker", "api")
    for name in names:
        await supervisor.start(make_child(name, STUBBORN, grace=10, min_grace=0.1))
    await eventually(lambda: all(has_written(tmp_path / f"{name}.log") for name in names))
    started = time.monotonic()
    await supervisor.stop(within=1)
    assert time.monotonic() - started < 8


async def test_processes_started_by_a_child_stop_with_it(
    supervisor: Supervisor, make_child: MakeChild, tmp_path: Path, eventually: Eventually
) -> None:
    code = f"import subprocess, sys; p = subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(300)'])"
    await supervisor.start(make_child("worker", f"{code}; print(p.pid, flush=True); p.wait()"))
    await eventually(lambda: has_written(tmp_path / "worker.log"))
    grandchild = int((tmp_path / "worker.log").read_text())
    assert identity(grandchild)
    await supervisor.stop()
    await eventually(lambda: identity(grandchild) is None)


async def test_children_have_sessions_of_their_own(supervisor: Supervisor, make_child: MakeChild) -> None:
    await supervisor.start(make_child("api"))
    pid = supervisor.pids["api"]
    assert os.getsid(pid) == pid != os.getsid(0)


async def test_stopping_while_a_child_waits_for_its_restart_does_not_start_it(
    supervisor: Supervisor, make_child: MakeChild, lines: list[str], eventually: Eventually
) -> None:
    await supervisor.start(make_child("worker", "pass"))
    await eventually(lambda: len(lines) == 2)  # the second wait is half a second
    await supervisor.stop()
    assert supervisor.pids == {}
    await supervisor.stop()


def test_restart_delays_grow_to_half_a_minute_until_a_stable_minute() -> None:
    backoff = Backoff()
    delays = [backoff.after(uptime=1) for _ in range(12)]
    assert delays[:4] == [0.1, 0.5, 1, 2]
    assert delays[-1] == 30
    assert backoff.after(uptime=61) == 0.1
