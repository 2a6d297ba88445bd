"""Ends a server process that hangs, from a thread beside its event loop. Whoever supervises it starts it again.

The event loop beats every second. A supervisor looks at the beats too, and kills a process whose threads all stand
still; probes look at the file that a worker renews (TOCSIN_LIVENESS_PATH).
"""

import asyncio
import faulthandler
import json
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

HEARTBEAT_INTERVAL = 1.0  # seconds between two beats, and between two looks at them
CHECKS_BEFORE_EXIT = 10  # without a beat; then the process ends itself
CHECKS_BEFORE_KILL = 20  # without a beat; then its supervisor kills it
EXIT_TIMEOUT = 8.0  # seconds after the drain time; below what a supervisor waits until it kills
STUCK_TIMEOUT = 10.0  # seconds; the SDK expects workflow code to answer within two
MAX_THREADS = 500  # of workflow code, as the SDK has them
HANG_EXIT_CODE = 70  # exit code


def do_nothing() -> None:
    """Do nothing."""


def always_true() -> bool:
    """Return True."""
    return True


class StallDetector:
    """Counts looks that found no new beat. Looks and not seconds: machines and processes may be suspended."""

    def __init__(self, max_checks: int) -> None:
        self._max_checks = max_checks
        self._checks = 0
        self._last_heartbeat: object = None

    def is_stalled(self, heartbeat: object) -> bool:
        """Whether so many looks in a row have found this beat."""
        self._checks = self._checks + 1 if heartbeat == self._last_heartbeat else 0
        self._last_heartbeat = heartbeat
        return self._checks >= self._max_checks


class Watchdog:
    """`drain` is how many seconds the process needs to end. It beats while `is_well`."""

    def __init__(self, drain: float, on_heartbeat: Callable[[], None] = do_nothing) -> None:
        self.is_healthy: Callable[[], bool] = always_true
        self._on_heartbeat = on_heartbeat
        self._heartbeats = 0
        self._exit_timeout = drain + EXIT_TIMEOUT
        self._exit_deadline: float | None = None

    def start(self) -> None:
        """Begin to watch. A process that forks does so first: threads are not copied."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def send_heartbeats(self) -> None:
        """Until cancelled, in the event loop that is watched."""
        while True:
            if self._exit_deadline is not None or self.is_healthy():  # what drains is not to be ended early
                self._heartbeats += 1
                self._on_heartbeat()
            await asyncio.sleep(HEARTBEAT_INTERVAL)

    def expect_exit(self) -> None:
        """The process is about to end: by itself, or in time by force."""
        self._exit_deadline = self._exit_deadline or time.monotonic() + self._exit_timeout

    def _watch(self) -> None:
        stall_detector = StallDetector(CHECKS_BEFORE_EXIT)
        while True:
            time.sleep(HEARTBEAT_INTERVAL)
            if self._exit_deadline is not None and time.monotonic() > self._exit_deadline:
                _exit_process("the process did not end in time")
            if stall_detector.is_stalled(self._heartbeats):
                _exit_process("the event loop or all workflows stand still")


def _exit_process(reason: str) -> None:
    """Without locks: whatever hangs may hold that of the log."""
    os.write(sys.stderr.fileno(), f"{json.dumps({'event': f'process ends: {reason}', 'level': 'critical'})}\n".encode())
    faulthandler.dump_traceback()
    os._exit(HANG_EXIT_CODE)


class WorkflowThreads(ThreadPoolExecutor):
    """Run workflow code. A thread that is blocked for good stays; the others go on."""

    def __init__(self) -> None:
        super().__init__(MAX_THREADS, "workflow")
        self._running: dict[Future[Any], float] = {}
        self._last_end_at = time.monotonic()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self._running[future] = time.monotonic()
        future.add_done_callback(self._note_end)
        return future

    def _note_end(self, future: Future[Any]) -> None:
        self._running.pop(future, None)
        if not future.cancelled():  # what waited for a thread was given up
            self._last_end_at = time.monotonic()

    def is_progressing(self) -> bool:
        """False once something waits for its end for long and nothing else has ended meanwhile."""
        oldest = min(list(self._running.values()), default=None)
        return oldest is None or time.monotonic() - max(oldest, self._last_end_at) < STUCK_TIMEOUT


class SharedHeartbeats:
    """Beats of forked processes, in memory that they share with their supervisor."""

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, processes)

    def heartbeat(self, number: int) -> None:
        """Of one of them."""
        self._memory[number] = (self._memory[number] + 1) % 256

    def read(self) -> bytes:
        """Return one changing byte per process."""
        return self._memory[:]


def liveness_writer(file: Path | None) -> Callable[[], None]:
    """Return what sets the modification time of the file. Raises OSError if that is not possible."""
    if file is None:
        return do_nothing
    file.touch()

    def renew() -> None:
        with suppress(OSError):  # whoever looks at it sees that it is old
            file.touch()

    return renew


def read_liveness_time(file: Path) -> int | None:
    """Return its modification time; None before the first beat."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
