"""Claims what is due, as much as this process has slots for, and starts its workflows here. In every worker process."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from temporalio.service import RPCError

from dispatch.duties import Duties
from dispatch.leases import Lease
from dispatch.loops import Loop
from dispatch.pacing import Pace
from dispatch.starter import Starter
from dispatch.stores import StoreWatch
from dispatch.sweep import Sweep
from dispatch.wakeups import Wakeups
from domain.names import CANCEL_DUE, DISPATCH_CHANNEL, FLUSH_CHANNEL, LEADER_LEASE, QUEUE_DUE, STORE_DUE
from metrics.engine import Cause, Limit, background_failure, limit_reached
from storage import claims
from storage.claims import Begun, Claimed, Slots
from storage.database import Database
from storage.outages import without_outages

log = structlog.get_logger(__name__)

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
FULL_AGAIN = 0.1  # without a free slot: there is no event when one becomes free
MARK_EVERY = 0.5  # longer than most sends need until their call, which marks them too; far less than a claim's lease
END_WAITS_EVERY = 1.0
DEMOTE_EVERY = 1.0
AT_ONCE = 500  # entries that one statement makes due or demotes
SWEEP_EVERY = 5.0
BEGUN = "begun"


class Dispatcher:
    """`process` identifies this process in its claims. `duties` are done while it leads. `on_flush` empties the
    catalog's caches."""

    def __init__(
        self,
        database: Database,
        starter: Starter,
        duties: Duties,
        *,
        process: UUID,
        slots: Slots,
        start_rate: float,
        urgent_burst: int,
        on_flush: Callable[[], None],
    ) -> None:
        self._database = database
        self._starter = starter
        self._process = process
        self._slots = slots
        self._pace = Pace(start_rate)
        self._urgent_burst = urgent_burst
        self._begun: list[Begun] = []
        self._refused: list[Claimed] = []
        self._starts: set[asyncio.Task[None]] = set()
        self._due, self._over = Horizon(), Horizon()
        self._sweep = Sweep(database, starter)
        on_notify = {DISPATCH_CHANNEL: self._heard, FLUSH_CHANNEL: lambda _: on_flush()}
        self._wakeups = Wakeups(database, on_notify, Lease(LEADER_LEASE))
        self._loops = {
            QUEUE_DUE: Loop("queue", self._claim),
            BEGUN: Loop(BEGUN, self._mark),
            "waits": Loop("waits", self._end_waits),
            "demotions": Loop("demotions", self._demote),
            "sweep": Loop("sweep", self._sweep_strays),
            STORE_DUE: Loop("store", StoreWatch(database, starter).look),
            **{name: Loop(name, partial(self._if_leading, duty)) for name, duty in duties.items()},
        }

    async def run(self) -> None:
        """Until cancelled: then nothing more is claimed, and what is being started is written down."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._wakeups.run())
                for loop in self._loops.values():
                    tasks.create_task(loop.run())
        finally:
            await asyncio.gather(*self._starts)
            with without_outages():  # then the claims expire
                await self._mark()

    @property
    def slots(self) -> int:
        """Of this process."""
        return self._slots.total

    @property
    def leading(self) -> bool:
        return self._wakeups.leading

    def _heard(self, payload: str) -> None:
        for name, loop in self._loops.items():
            if payload in ("", name):
                loop.wake()

    async def _claim(self) -> float:
        most = self._pace.allowance(self._slots.total)
        if most == 0:
            return self._pace.seconds_to_next()
        async with self._database.statement() as session:
            claimed, is_full = await claims.claim(
                session, self._process, self._slots, most=most, look_back=self._due.look_back()
            )
        self._pace.spend(len(claimed))
        for one in claimed:
            self._starts.add(asyncio.create_task(self._begin(one)))
        if is_full:
            limit_reached(Limit.SLOTS)
            return FULL_AGAIN
        self._due.reached()
        return LOOK_AGAIN

    async def _begin(self, claimed: Claimed) -> None:
        """The claim is committed: no lock is held while Temporal is asked."""
        try:
            begun = await self._starter.begin(claimed)
        except RPCError as error:
            background_failure(QUEUE_DUE, Cause.TEMPORAL)
            self._refused.append(claimed)
            log.warning("Temporal does not take a start; it waits in Postgres", said=error.status.name)
            return
        self._begun.append(begun)
        if begun.waits_until is not None:
            self._loops[BEGUN].wake()  # nothing but the mark frees its slot

    async def _mark(self) -> float:
        """Write down in one statement what was begun since the last time. If this process dies before, the claims
        expire and the next one finds the workflows."""
        for start in [each for each in self._starts if each.done()]:
            self._starts.remove(start)
            start.result()
        if refused := list(self._refused):
            async with self._database.statement() as session:
                await claims.postpone(session, self._process, refused, LOOK_AGAIN)
            del self._refused[: len(refused)]
        if begun := list(self._begun):
            async with self._database.statement() as session:
                await claims.mark_begun(session, self._process, begun)
            del self._begun[: len(begun)]
            self._loops[CANCEL_DUE].wake()  # cancels that came before the mark
        return MARK_EVERY

    async def _end_waits(self) -> float:
        async with self._database.statement() as session:
            ended = await claims.end_waits(session, look_back=self._over.look_back(), limit=AT_ONCE)
        if ended == AT_ONCE:
            return 0.0
        self._over.reached()
        return END_WAITS_EVERY

    async def _demote(self) -> float:
        async with self._database.statement() as session:
            demoted = await claims.demote(session, burst=self._urgent_burst, limit=AT_ONCE)
        limit_reached(Limit.URGENT_BURST, demoted)
        return 0.0 if demoted == AT_ONCE else DEMOTE_EVERY

    async def _if_leading(self, step: Callable[[], Awaitable[float]]) -> float:
        return await step() if self._wakeups.leading else LOOK_AGAIN

    async def _sweep_strays(self) -> float:
        if self._wakeups.leading:
            await self._sweep.run()
        return SWEEP_EVERY


class Horizon:
    """How far back a query for what is due has to look. Dead index entries lie before: while an old transaction is
    open anywhere in the database, they stay."""

    # No transaction that writes an entry takes nearly as long.
    MARGIN = timedelta(minutes=2)
    EVERYTHING = timedelta(days=10_000)
    EVERYTHING_EVERY = 30.0

    def __init__(self) -> None:
        self._reached_at: float | None = None
        self._everything_at = -math.inf

    def look_back(self) -> timedelta:
        """Everything now and then: what has become due in the past all the same is late and not lost."""
        now = time.monotonic()
        if self._reached_at is None or now - self._everything_at > self.EVERYTHING_EVERY:
            self._everything_at = now
            return self.EVERYTHING
        return timedelta(seconds=now - self._reached_at) + self.MARGIN

    def reached(self) -> None:
        """Nothing was left that was due."""
        self._reached_at = time.monotonic()
