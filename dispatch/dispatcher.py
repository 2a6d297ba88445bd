"""Finds rows that are due and starts their workflows: urgent ones at once, the others at the start rate.

Runs in the API process, and in the worker as a backstop; the one that holds the lease dispatches, another takes over.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from dispatch.duties import Duties
from dispatch.leases import Lease
from dispatch.loops import Loop
from dispatch.pacing import Pace
from dispatch.starter import AT_ONCE, Starter
from dispatch.stores import StoreWatch
from dispatch.sweep import Sweep
from dispatch.wakeups import Wakeups
from domain.names import (
    CANCEL_DUE,
    DISPATCH_CHANNEL,
    EVENTS_CHANNEL,
    FLUSH_CHANNEL,
    LEADER_LEASE,
    PACED_DUE,
    REDRIVEN_DUE,
    SANDBOX_CHANNEL,
    STORE_DUE,
    URGENT_DUE,
)
from storage import dispatching
from storage.database import Database
from storage.dispatching import DueNotification

log = structlog.get_logger(__name__)

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
SWEEP_EVERY = 5.0
MARK_EVERY = 0.5  # longer than most sends take; far less than the lease of a claim
WAY_FOR_URGENT = 0.2


class Dispatcher:
    """`duties` are done while it leads. `on_flush` empties the catalog's caches; `on_sandbox` wakes the sandbox's
    postman, where there is one."""

    def __init__(
        self,
        database: Database,
        starter: Starter,
        duties: Duties,
        *,
        start_rate: float,
        on_flush: Callable[[], None],
        on_sandbox: Callable[[], None] = lambda: None,
        on_events: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._starter = starter
        self._pace = Pace(start_rate)
        self._served_last = dispatching.FIRST
        self._not_before = 0.0
        self._started: list[DueNotification] = []
        self._behind = False
        self._gave_way = False
        self._sweep = Sweep(database, starter)
        self._wakeups = Wakeups(database, self._heard, Lease(LEADER_LEASE))
        self._loops = {
            URGENT_DUE: Loop("urgent", self._start_urgent),
            PACED_DUE: Loop("paced", self._start_paced),
            REDRIVEN_DUE: Loop("redriven", self._start_redriven),
            "started": Loop("started", self._mark_started),
            "sweep": Loop("sweep", self._sweep_strays),
            STORE_DUE: Loop("store", StoreWatch(database, starter).look),
            **{name: Loop(name, partial(self._if_leading, duty)) for name, duty in duties.items()},
        }
        self._on_channel = {FLUSH_CHANNEL: on_flush, SANDBOX_CHANNEL: on_sandbox, EVENTS_CHANNEL: on_events}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wakeups.run())
            for loop in self._loops.values():
                tasks.create_task(loop.run())

    async def sweep_once(self) -> int:
        """The minute's backstop: everything that is due, whoever leads. How many were started."""
        async with self._database.transaction() as session:
            due = await dispatching.claim_urgent(session, AT_ONCE)
            paced = await dispatching.claim_paced(session, self._pace.allowance(AT_ONCE), self._served_last)
            paced += await dispatching.claim_redriven(session, self._pace.allowance(AT_ONCE))
        self._pace.spend(len(paced))
        due += paced
        await self._start(due)
        await self._mark_started()
        await self._sweep.run()
        return len(due)

    def _heard(self, channel: str, payload: str) -> None:
        if channel == DISPATCH_CHANNEL:
            for name, loop in self._loops.items():
                if payload in ("", name):
                    loop.wake()
        else:
            self._on_channel[channel]()

    async def _start_urgent(self) -> float:
        if not self._wakeups.leading:
            return LOOK_AGAIN
        async with self._database.statement() as session:
            due = await dispatching.claim_urgent(session, AT_ONCE)
        if due:
            self._give_way()
        await self._start(due)
        return LOOK_AGAIN if len(due) < AT_ONCE else 0.0

    def _give_way(self) -> None:
        """While there is a backlog, urgent work gets the machine for a moment; once per paced claim, so that the rest
        is slowed and not starved."""
        if self._behind and not self._gave_way:
            self._gave_way = True
            self._not_before = max(self._not_before, time.monotonic() + WAY_FOR_URGENT)

    async def _start_paced(self) -> float:
        if not self._wakeups.leading:
            return LOOK_AGAIN
        # With a backlog every new row wakes us; taking one at a time would be a statement and a tenant each.
        if (early := self._not_before - time.monotonic()) > 0:
            return early
        self._gave_way = False
        allowed = self._pace.allowance(AT_ONCE)
        async with self._database.statement() as session:
            due = await dispatching.claim_paced(session, allowed, self._served_last)
        self._pace.spend(len(due))
        await self._start(due)
        self._behind = len(due) == allowed
        if not self._behind:
            return LOOK_AGAIN
        self._served_last = due[-1].tenant if due else self._served_last
        delay = self._pace.seconds_to_next()
        self._not_before = time.monotonic() + delay
        return delay

    async def _start_redriven(self) -> float:
        """At their own pace, which whoever redrove them has set; within the rate of all starts."""
        if not self._wakeups.leading:
            return LOOK_AGAIN
        allowed = self._pace.allowance(AT_ONCE)
        async with self._database.statement() as session:
            due = await dispatching.claim_redriven(session, allowed)
        self._pace.spend(len(due))
        await self._start(due)
        return LOOK_AGAIN if len(due) < allowed else self._pace.seconds_to_next()

    async def _start(self, due: list[DueNotification]) -> None:
        """The claim is committed: no lock is held while Temporal is asked."""
        if not due:
            return
        started = await self._starter.start_all(due)
        self._started += [one for one in due if one.id in started.ids]
        if started.failed:
            async with self._database.transaction() as session:
                failed = [one for one in due if one.id in started.failed]
                await dispatching.postpone(session, failed, LOOK_AGAIN)
            log.warning(
                "Temporal does not take starts; they wait in Postgres",
                waiting=len(started.failed),
                said=sorted(started.statuses),
            )

    async def _mark_started(self) -> float:
        """Mark all that were started since the last time in one statement; most have ended and need no mark. If this
        process dies before, their lease ends and the next dispatcher finds their workflows."""
        if batch := list(self._started):
            async with self._database.statement() as session:
                await dispatching.mark_started(session, batch)
            del self._started[: len(batch)]
            self._loops[CANCEL_DUE].wake()  # cancels that came before the mark
        return MARK_EVERY

    async def _if_leading(self, step: Callable[[], Awaitable[float]]) -> float:
        return await step() if self._wakeups.leading else LOOK_AGAIN

    async def _sweep_strays(self) -> float:
        if self._wakeups.leading:
            await self._sweep.run()
        return SWEEP_EVERY
