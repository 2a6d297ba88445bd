"""A piece of background work: runs when woken and after a while anyway, and outlives every outage."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import httpx2
import structlog
from temporalio.service import RPCError

from metrics.engine import Cause, background_failure
from storage.database import DATABASE_DOWN

log = structlog.get_logger(__name__)

# What a step cannot know beforehand it turns into values and rows: a zone that this machine does not have, a word of
# Temporal's that is no outage. Any other error is a mistake of ours and is not caught: a duty that fails for good while
# others go on is seen by nobody. It ends the process, whose supervisor says so and starts it again.
OUTAGES = (*DATABASE_DOWN, RPCError, httpx2.HTTPError)
AFTER_OUTAGE = 1.0
TASK_PREFIX = "loop: "
# A timer may end a little early; without it the next wait would end at the same second.
SLACK = 0.05


class Loop:
    """`step` does what is due and says in how many seconds it wants to look again at the latest."""

    def __init__(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        self._name = name
        self._step = step
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. Names the task, so that a dump of the tasks shows what the process does."""
        if task := asyncio.current_task():
            task.set_name(f"{TASK_PREFIX}{self._name}")
        while True:
            self._woken.clear()
            await self._rest(await self._once())

    async def _once(self) -> float:
        try:
            return await self._step()
        except OUTAGES as error:
            # The type only: messages of database errors may quote values.
            log.warning("background work interrupted", loop=self._name, error=type(error).__name__)
            background_failure(self._name, _cause(error))
            return AFTER_OUTAGE

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(coalesced(seconds, time.monotonic())):
                await self._woken.wait()
        except TimeoutError:
            return


def _cause(error: BaseException) -> Cause:
    if isinstance(error, RPCError):
        return Cause.TEMPORAL
    return Cause.HTTP if isinstance(error, httpx2.HTTPError) else Cause.DATABASE


def coalesced(seconds: float, now: float) -> float:
    """Shorten a wait of a second or more so that it ends at a whole second of `now`'s clock; at most SLACK longer.

    All loops of a machine then wake up together: one query of a burst takes a tenth of the CPU time of one that finds
    cold caches.
    """
    return seconds if seconds < 1 else math.floor(now + seconds + SLACK) - now
