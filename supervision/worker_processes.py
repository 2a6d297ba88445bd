"""Run server processes: their event loop, and several worker processes on one machine. Used by `worker.py`, the API and
the embedded stack."""

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvloop

from supervision.process_flags import end_with_parent, freeze_loaded_objects
from supervision.watchdog import (
    CHECKS_BEFORE_KILL,
    HEARTBEAT_INTERVAL,
    SharedHeartbeats,
    StallDetector,
    Watchdog,
    do_nothing,
)

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
USAGE_EXIT_CODE = 2  # exit code of invalid settings, which a restart would not fix
# Added to the drain time, for work before and after it. The sum is less than the stop_grace_period of a container.
KILL_DELAY = 10.0

FIRST_DELAY = 0.1
SECOND_DELAY = 0.5
MAX_DELAY = 30.0
STABLE_UPTIME = 60.0


class Backoff:
    """Seconds before the next restart: short at first, then doubling. Reset after a minute without a crash."""

    def __init__(self) -> None:
        self._failures = 0

    def after(self, uptime: float) -> float:
        self._failures = 1 if uptime >= STABLE_UPTIME else self._failures + 1
        if self._failures == 1:
            return FIRST_DELAY
        return float(min(SECOND_DELAY * 2 ** min(self._failures - 2, 10), MAX_DELAY))


def run_on_uvloop(main: Coroutine[Any, Any, None], watchdog: Watchdog | None = None) -> None:
    """Run a server process. asyncio's own loop needs a third more CPU time per request."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if watchdog is not None:
            watchdog.start()
            main = _run_watched(main, watchdog)
        runner.run(main)


async def _run_watched(main: Coroutine[Any, Any, None], watchdog: Watchdog) -> None:
    beating = asyncio.create_task(watchdog.send_heartbeats())
    try:
        await main
    finally:
        beating.cancel()


@dataclass
class ProcessSlot:
    """One worker process: its pid, or the time of its next start by the monotonic clock."""

    pid: int | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    stall_detector: StallDetector = field(default_factory=lambda: StallDetector(CHECKS_BEFORE_KILL))
    backoff: Backoff = field(default_factory=Backoff)


class WorkerProcesses:
    """Fork and supervise workers, which share the memory of imported modules. This process must have a single thread.
    `on_heartbeat` is called while any worker sends heartbeats."""

    def __init__(self, count: int, drain: float, on_heartbeat: Callable[[], None] = do_nothing) -> None:
        self._slots = [ProcessSlot() for _ in range(count)]
        self._heartbeats = SharedHeartbeats(count)
        self._last_heartbeats = self._heartbeats.read()
        self._next_check_at = 0.0
        self._on_heartbeat = on_heartbeat
        self._drain = drain
        self._stopping = False
        self._exit_codes: list[int] = []
        # In a forked worker: its number, from 0. A restarted worker keeps it.
        self.number = 0

    def supervise(self) -> int | None:
        """Restart processes that end, until a signal arrives, and then stop all. Return the exit code. Return None in
        each forked process, which becomes a worker."""
        log.info("worker processes start", count=len(self._slots))
        freeze_loaded_objects()  # a collection would write to every page and end the sharing
        with _signal_waiter(self._request_stop) as wait:
            while not self._stopping:
                for number, slot in enumerate(self._slots):
                    if slot.pid is None and slot.restart_at <= time.monotonic() and self._fork(slot):
                        self.number = number
                        return None
                wait(self._seconds_to_next())
                self._reap()
                self._check_heartbeats()
            self._stop(wait)
        return max(self._exit_codes, default=0)

    def heartbeat(self) -> None:
        """Send a heartbeat of the worker that this process has become."""
        self._heartbeats.heartbeat(self.number)

    def _request_stop(self) -> None:
        self._stopping = True

    def _fork(self, slot: ProcessSlot) -> bool:
        """Fork a worker. Return whether this is the new process."""
        parent = os.getpid()
        # Block signals until the worker has its own handlers, so that it does not run copies of ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        slot.pid, slot.started_at = os.fork(), time.monotonic()
        slot.stall_detector = StallDetector(CHECKS_BEFORE_KILL)
        if slot.pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            return False
        _restore_signal_handlers()
        end_with_parent(parent)
        return True

    def _seconds_to_next(self) -> float:
        waiting = [slot.restart_at for slot in self._slots if slot.pid is None]
        return max(min([*waiting, self._next_check_at]) - time.monotonic(), 0)

    def _check_heartbeats(self) -> None:
        """Kill workers that send no heartbeat and could not end themselves."""
        if time.monotonic() < self._next_check_at:
            return
        self._next_check_at = time.monotonic() + HEARTBEAT_INTERVAL
        previous, self._last_heartbeats = self._last_heartbeats, self._heartbeats.read()
        if self._last_heartbeats != previous:
            self._on_heartbeat()
        for slot, heartbeat in zip(self._slots, self._last_heartbeats, strict=True):
            if slot.pid is not None and slot.stall_detector.is_stalled(heartbeat):
                log.error("worker process hangs and is killed", pid=slot.pid)
                os.kill(slot.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.pid is None or (code := _exit_code(slot.pid)) is None:
                continue
            pid, slot.pid = slot.pid, None
            if self._stopping or code == USAGE_EXIT_CODE:
                self._stopping = True
                self._exit_codes.append(code if code >= 0 else 128 - code)
                continue
            delay = slot.backoff.after(time.monotonic() - slot.started_at)
            slot.restart_at = time.monotonic() + delay
            log.warning("worker process ended and is restarted", pid=pid, code=code, seconds=delay)

    def _stop(self, wait: Callable[[float | None], None]) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain + KILL_DELAY
        while any(slot.pid for slot in self._slots):
            left = deadline - time.monotonic()
            if left <= 0:
                self._signal(signal.SIGKILL)
            wait(left if left > 0 else None)
            self._reap()

    def _signal(self, number: signal.Signals) -> None:
        """Signal all workers. None is reaped in between, so every pid still belongs to its worker."""
        for slot in self._slots:
            if slot.pid is not None:
                os.kill(slot.pid, number)


def _exit_code(pid: int) -> int | None:
    """Return None while the process runs, and the negative signal number if a signal killed it."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _restore_signal_handlers() -> None:
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def _signal_waiter(on_stop: Callable[[], None]) -> Iterator[Callable[[float | None], None]]:
    """Yield a function that waits for a stop signal or the end of a child, up to a number of seconds. Earlier signals
    count too."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: on_stop())
    signal.signal(signal.SIGCHLD, lambda *_: None)

    def wait(seconds: float | None) -> None:
        if select.select([reader], [], [], seconds)[0]:
            os.read(reader, 4096)

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)
