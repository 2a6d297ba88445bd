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

EVERY = 1.0  # seconds between two beats, and between two looks at them
SILENT_LOOKS = 10  # without a beat; then the process ends itself
KILLED_AFTER_LOOKS = 20  # without a beat; then its supervisor kills it
END_WITHIN = 8.0  # seconds after the drain time; below what a supervisor waits until it kills
STUCK_AFTER = 10.0  # seconds; the SDK expects workflow code to answer within two
THREADS = 500  # of workflow code, as the SDK has them
HANGS = 70  # exit code


def nothing() -> None:
    """Do nothing."""


def always() -> bool:
    """Return True."""
    return True


class Silence:
    """Counts looks that found no new beat. Looks and not seconds: machines and processes may be suspended."""

    def __init__(self, looks: int) -> None:
        self._most = looks
        self._looks = 0
        self._last: object = None

    def lasts(self, beat: object) -> bool:
        """Whether so many looks in a row have found this beat."""
        self._looks = self._looks + 1 if beat == self._last else 0
        self._last = beat
        return self._looks >= self._most


class Watchdog:
    """`drain` is how many seconds the process needs to end. It beats while `is_well`."""

    def __init__(self, drain: float, on_beat: Callable[[], None] = nothing) -> None:
        self.is_well: Callable[[], bool] = always
        self._on_beat = on_beat
        self._beats = 0
        self._ends_within = drain + END_WITHIN
        self._end_by: float | None = None

    def start(self) -> None:
        """Begin to watch. A process that forks does so first: threads are not copied."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def keep_beating(self) -> None:
        """Until cancelled, in the event loop that is watched."""
        while True:
            if self._end_by is not None or self.is_well():  # what drains is not to be ended early
                self._beats += 1
                self._on_beat()
            await asyncio.sleep(EVERY)

    def expect_end(self) -> None:
        """The process is about to end: by itself, or in time by force."""
        self._end_by = self._end_by or time.monotonic() + self._ends_within

    def _watch(self) -> None:
        silence = Silence(SILENT_LOOKS)
        while True:
            time.sleep(EVERY)
            if self._end_by is not None and time.monotonic() > self._end_by:
                _end("the process did not end in time")
            if silence.lasts(self._beats):
                _end("the event loop or all workflows stand still")


def _end(why: str) -> None:
    """Without locks: whatever hangs may hold that of the log."""
    os.write(sys.stderr.fileno(), f"{json.dumps({'event': f'process ends: {why}', 'level': 'critical'})}\n".encode())
    faulthandler.dump_traceback()
    os._exit(HANGS)


class WorkflowThreads(ThreadPoolExecutor):
    """Run workflow code. A thread that is blocked for good stays; the others go on."""

    def __init__(self) -> None:
        super().__init__(THREADS, "workflow")
        self._open: dict[Future[Any], float] = {}
        self._last_end = time.monotonic()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self._open[future] = time.monotonic()
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        self._open.pop(future, None)
        if not future.cancelled():  # what waited for a thread was given up
            self._last_end = time.monotonic()

    def are_moving(self) -> bool:
        """False once something waits for its end for long and nothing else has ended meanwhile."""
        oldest = min(list(self._open.values()), default=None)
        return oldest is None or time.monotonic() - max(oldest, self._last_end) < STUCK_AFTER


class SharedBeats:
    """Beats of forked processes, in memory that they share with their supervisor."""

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, processes)

    def beat(self, number: int) -> None:
        """Of one of them."""
        self._memory[number] = (self._memory[number] + 1) % 256

    def read(self) -> bytes:
        """Return one changing byte per process."""
        return self._memory[:]


def renewed(file: Path | None) -> Callable[[], None]:
    """Return what sets the modification time of the file. Raises OSError if that is not possible."""
    if file is None:
        return nothing
    file.touch()

    def renew() -> None:
        with suppress(OSError):  # whoever looks at it sees that it is old
            file.touch()

    return renew


def last_renewed(file: Path) -> int | None:
    """Return its modification time; None before the first beat."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
