"""Run background work when woken and at intervals, through every outage."""

import asyncio
import math
import time
import traceback
from collections.abc import Awaitable, Callable

import httpx2
import structlog
from temporalio.service import RPCError

from dispatch.temporal.connection import OUTAGE_STATUSES
from domain.stored_enums import UnknownValue
from metrics.engine import FailureCause, count_background_failure, initialize_bug_count
from storage.connections import DATABASE_ERRORS, is_outage
from storage.encryption import DecryptionError

log = structlog.get_logger(__name__)

# The errors that background work survives: outages, and, with an error in the log, what Postgres or Temporal refuses,
# since one row that cannot be written, or one secret whose key is missing, must not end the process of all others. Any
# other error is a bug and is not caught: a loop that fails on every run would go unnoticed while the others continue.
# It ends the process, whose supervisor logs it and starts it again.
RECOVERABLE_ERRORS: tuple[type[Exception], ...] = (
    *DATABASE_ERRORS,
    RPCError,
    httpx2.HTTPError,
    UnknownValue,
    DecryptionError,
)
FIRST_RETRY_DELAY = 1.0
MAX_RETRY_DELAY = 60.0
TASK_PREFIX = "loop: "
# A timer may end slightly early; without the margin the next wait would end at the same second.
TIMER_SLACK = 0.05


class Loop:
    """Run `step`, which does what is due and returns the seconds until it must run again."""

    def __init__(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        self._name = name
        self._step = step
        self._woken = asyncio.Event()
        self._failures = 0
        initialize_bug_count(name)

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled. Names the task, so that a dump of the tasks is readable."""
        if task := asyncio.current_task():
            task.set_name(f"{TASK_PREFIX}{self._name}")
        while True:
            self._woken.clear()
            await self._wait(await self._run_step())

    async def _run_step(self) -> float:
        try:
            seconds = await self._step()
        except RECOVERABLE_ERRORS as error:
            self._failures = 0 if report_failure(self._name, error) else self._failures + 1
            return min(FIRST_RETRY_DELAY * 2.0 ** min(self._failures, 10), MAX_RETRY_DELAY)
        self._failures = 0
        return seconds

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(align_wait(seconds, time.monotonic())):
                await self._woken.wait()
        except TimeoutError:
            return


def report_failure(work: str, error: Exception) -> bool:
    """Log and count an error that background work survives; return True for an outage. Log the type only: the
    message may quote values."""
    cause = _cause_of(error)
    count_background_failure(work, cause)
    if cause is not FailureCause.BUG:
        log.warning("background work interrupted", loop=work, error=type(error).__name__)
    else:
        at = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-3:]]
        log.error("background work failed and is repeated", loop=work, error=type(error).__name__, at=at)
    return cause is not FailureCause.BUG


def _cause_of(error: Exception) -> FailureCause:
    if isinstance(error, RPCError):
        return FailureCause.TEMPORAL if error.status in OUTAGE_STATUSES else FailureCause.BUG
    if isinstance(error, httpx2.HTTPError):
        return FailureCause.HTTP
    return FailureCause.DATABASE if is_outage(error) else FailureCause.BUG


def align_wait(seconds: float, now: float) -> float:
    """Shorten a wait of a second or more so that it ends at a whole second of `now`'s clock, or at most TIMER_SLACK
    later.

    All loops of a machine then wake together: one query of a burst takes a tenth of the CPU time of one that finds
    cold caches.
    """
    return seconds if seconds < 1 else math.floor(now + seconds + TIMER_SLACK) - now
