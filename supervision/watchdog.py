"""End a server process that hangs, from a second thread. Its supervisor restarts it.

The event loop sends a heartbeat every second. A supervisor checks the heartbeats too, and kills a process whose threads
all hang. Probes check the file that a worker touches (TOCSIN_LIVENESS_PATH).
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

HEARTBEAT_INTERVAL = 1.0  # seconds between heartbeats, and between checks
CHECKS_BEFORE_EXIT = 10  # without a heartbeat, before the process ends itself
CHECKS_BEFORE_KILL = 20  # without a heartbeat, before the supervisor kills the process
EXIT_TIMEOUT = 8.0  # seconds after the drain time; less than a supervisor waits before it kills
STUCK_TIMEOUT = 10.0  # seconds; the SDK expects workflow code to yield within two
MAX_THREADS = 500  # for workflow code; the default of the SDK
HANG_EXIT_CODE = 70


def do_nothing() -> None: ...
def always_true() -> bool:
    return True


class StallDetector:
    """Count checks without a new heartbeat. Checks instead of seconds, because machines and processes may be
    suspended."""

    def __init__(self, max_checks: int) -> None:
        self._max_checks = max_checks
        self._checks = 0
        self._last_heartbeat: object = None

    def is_stalled(self, heartbeat: object) -> bool:
        """Return whether the maximum of consecutive checks has found this heartbeat."""
        self._checks = self._checks + 1 if heartbeat == self._last_heartbeat else 0
        self._last_heartbeat = heartbeat
        return self._checks >= self._max_checks


class Watchdog:
    """`drain` is the number of seconds that the process needs to end. Heartbeats are sent while `is_healthy`."""

    def __init__(self, drain: float, on_heartbeat: Callable[[], None] = do_nothing) -> None:
        self.is_healthy: Callable[[], bool] = always_true
        self._on_heartbeat = on_heartbeat
        self._heartbeats = 0
        self._exit_timeout = drain + EXIT_TIMEOUT
        self._exit_deadline: float | None = None

    def start(self) -> None:
        """Start the watching thread. A process that forks must fork first, because threads are not copied."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def send_heartbeats(self) -> None:
        """Run until cancelled, in the watched event loop."""
        while True:
            if self._exit_deadline is not None or self.is_healthy():  # do not end a draining process early
                self._heartbeats += 1
                self._on_heartbeat()
            await asyncio.sleep(HEARTBEAT_INTERVAL)

    def expect_exit(self) -> None:
        """Set the deadline of the exit. After it, the process is ended by force."""
        self._exit_deadline = self._exit_deadline or time.monotonic() + self._exit_timeout

    def _watch(self) -> None:
        stall_detector = StallDetector(CHECKS_BEFORE_EXIT)
        while True:
            time.sleep(HEARTBEAT_INTERVAL)
            if self._exit_deadline is not None and time.monotonic() > self._exit_deadline:
                _exit_process("the process did not end in time")
            if stall_detector.is_stalled(self._heartbeats):
                _exit_process("the event loop or all workflows hang")


def _exit_process(reason: str) -> None:
    """End the process without locks, because a hanging thread may hold that of the log."""
    os.write(sys.stderr.fileno(), f"{json.dumps({'event': f'process ends: {reason}', 'level': 'critical'})}\n".encode())
    faulthandler.dump_traceback()
    os._exit(HANG_EXIT_CODE)


class WorkflowThreads(ThreadPoolExecutor):
    """Run workflow code. A blocked thread stays; the others continue."""

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
        if not future.cancelled():  # a task that waited for a thread was dropped
            self._last_end_at = time.monotonic()

    def is_progressing(self) -> bool:
        """Return False if a task has been running for 10 s and no other task has ended in that time."""
        oldest = min(list(self._running.values()), default=None)
        return oldest is None or time.monotonic() - max(oldest, self._last_end_at) < STUCK_TIMEOUT


class SharedHeartbeats:
    """Heartbeats of forked processes, in memory shared with their supervisor."""

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, processes)

    def heartbeat(self, number: int) -> None:
        """Record a heartbeat of one process."""
        self._memory[number] = (self._memory[number] + 1) % 256

    def read(self) -> bytes:
        """Return one byte per process, which changes with each heartbeat."""
        return self._memory[:]


def liveness_writer(file: Path | None) -> Callable[[], None]:
    """Return a function that touches the file. Raise OSError if that is not possible."""
    if file is None:
        return do_nothing
    file.touch()

    def renew() -> None:
        with suppress(OSError):  # probes detect that the file is old
            file.touch()

    return renew


def read_liveness_time(file: Path) -> int | None:
    """Return the modification time; None before the first heartbeat."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
