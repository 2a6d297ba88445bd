"""Claim due notifications up to the free slots of this process, and start their workflows here. Runs in every worker
process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import structlog
from temporalio.service import RPCError

from dispatch.background_loops import Loop
from dispatch.leader_tasks import LeaderTasks
from dispatch.leases import ProcessLease
from dispatch.look_back_window import LookBackWindow
from dispatch.notify_listener import NotifyListener
from dispatch.orphan_sweep import OrphanSweep
from dispatch.temporal.store_monitor import StoreMonitor
from dispatch.token_bucket import TokenBucket
from dispatch.urgent_phase import UrgentPhase
from dispatch.workflow_starter import WorkflowStarter
from domain.names import (
    CANCEL_DUE,
    DISPATCH_CHANNEL,
    FLUSH_CHANNEL,
    LEADER_LEASE,
    QUEUE_DUE,
    STORE_DUE,
    URGENT_CHANNEL,
)
from domain.notification_types import URGENT_PRIORITY
from metrics.engine import FailureCause, ReachedLimit, count_background_failure, count_limit_reached
from storage import claims
from storage.claims import ClaimedNotification, Slots, StartedClaim
from storage.connections import suppress_outages
from storage.database import Database
from storage.statements import notify

log = structlog.get_logger(__name__)

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
NO_SLOT_INTERVAL = 0.1  # without a free slot, unless this process frees enough of its slots before
# Most sends make their call within this time, and the call marks the claim too. Far shorter than the lease of a claim.
MARK_INTERVAL = 0.5
END_WAITS_INTERVAL = 1.0
DEMOTE_INTERVAL = 1.0
BATCH_SIZE = 500  # entries that one statement makes due or demotes
SWEEP_INTERVAL = 5.0
STARTED_LOOP = "starts"


class Dispatcher:
    """Run the dispatch loops. `process` identifies this process in its claims. Processes of the same `host` share its
    cores. `leader_tasks` run while it is the leader. `on_flush` empties the catalog's caches."""

    def __init__(
        self,
        database: Database,
        starter: WorkflowStarter,
        leader_tasks: LeaderTasks,
        *,
        process: UUID,
        host: str,
        slots: Slots,
        start_rate: float,
        urgent_burst: int,
        on_flush: Callable[[], None],
    ) -> None:
        self._database = database
        self._starter = starter
        self._process = process
        self._host = host
        self._slots = self._slots_of_claim = slots
        self._urgent_phase = UrgentPhase(slots)
        self._is_full = False
        self._freed_slots = 0  # since the last claim
        self._start_bucket = TokenBucket(start_rate)
        self._urgent_burst = urgent_burst
        self._started_claims: list[StartedClaim] = []
        self._refused_claims: list[ClaimedNotification] = []
        self._start_tasks: set[asyncio.Task[None]] = set()
        self._due_window, self._waits_window = LookBackWindow(), LookBackWindow()
        self._sweep = OrphanSweep(database, starter)
        on_notify = {
            DISPATCH_CHANNEL: self._wake_loops,
            URGENT_CHANNEL: self.note_urgent_claim,
            FLUSH_CHANNEL: lambda _: on_flush(),
        }
        self._listener = NotifyListener(database, on_notify, ProcessLease(LEADER_LEASE))
        self._loops = self._build_loops(leader_tasks)

    def _build_loops(self, leader_tasks: LeaderTasks) -> dict[str, Loop]:
        return {
            QUEUE_DUE: Loop("queue", self._claim_due),
            STARTED_LOOP: Loop(STARTED_LOOP, self._mark_started),
            "waits": Loop("waits", self._end_waits),
            "demotions": Loop("demotions", self._demote),
            "sweep": Loop("sweep", self._sweep_orphans),
            STORE_DUE: Loop("store", StoreMonitor(self._database, self._starter).detect_namespace_reset),
            **{name: Loop(name, partial(self._run_if_leader, task)) for name, task in leader_tasks.items()},
        }

    async def run(self) -> None:
        """Run until cancelled. Then claim nothing more, and record the starts in progress."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listener.run())
                for loop in self._loops.values():
                    tasks.create_task(loop.run())
        finally:
            await asyncio.gather(*self._start_tasks)
            with suppress_outages():  # the claims expire
                await self._mark_started()

    @property
    def slots(self) -> int:
        return self._slots.total

    @property
    def reserved_slots(self) -> int:
        return self._urgent_phase.slots_at(time.monotonic()).reserved

    @property
    def is_leader(self) -> bool:
        return self._listener.is_leader

    def note_free_slot(self) -> None:
        """Claim again as soon as half of the slots, rounded down, are free: a claim of several costs little more than
        one of one. If fewer slots are unreserved, claim again when that number is free."""
        self._freed_slots += 1
        if self._is_full and self._are_many_slots_free:
            self._loops[QUEUE_DUE].wake()

    def note_urgent_claim(self, host: str) -> None:
        """Keep more slots free for a moment, because a process of `host` has claimed an urgent notification."""
        if host == self._host:
            self._urgent_phase.begin(time.monotonic())

    @property
    def _are_many_slots_free(self) -> bool:
        unreserved = self._slots_of_claim.total - self._slots_of_claim.reserved
        return self._freed_slots >= max(1, min(self._slots.total // 2, unreserved))

    def _wake_loops(self, payload: str) -> None:
        for name, loop in self._loops.items():
            if payload in ("", name):
                loop.wake()

    async def _announce_urgent_claim(self) -> None:
        self.note_urgent_claim(self._host)
        if self._urgent_phase.should_announce(time.monotonic()):
            with suppress_outages():  # the claim is committed, and the others may go without
                async with self._database.statement() as session:
                    await notify(session, URGENT_CHANNEL, [self._host])

    async def _claim_due(self) -> float:
        batch_size = self._start_bucket.available(self._slots.total)
        if batch_size == 0:
            return self._start_bucket.seconds_to_next()
        self._freed_slots = 0
        slots = self._slots_of_claim = self._urgent_phase.slots_at(time.monotonic())
        async with self._database.statement() as session:
            claimed, is_full = await claims.claim_due(
                session, self._process, slots, batch_size=batch_size, look_back=self._due_window.look_back()
            )
        self._is_full = is_full
        self._start_bucket.spend(len(claimed))
        for one in claimed:
            self._start_tasks.add(asyncio.create_task(self._start_claimed(one)))
        if any(one.priority <= URGENT_PRIORITY for one in claimed):
            await self._announce_urgent_claim()
        if is_full:
            count_limit_reached(ReachedLimit.SLOTS)
            return 0.0 if self._are_many_slots_free else NO_SLOT_INTERVAL
        self._due_window.mark_drained()
        return POLL_INTERVAL

    async def _start_claimed(self, claimed: ClaimedNotification) -> None:
        """Start or resume the workflow after the claim is committed: no lock is held during calls to Temporal."""
        try:
            started = await self._starter.start_or_resume(claimed)
        except RPCError as error:
            count_background_failure(QUEUE_DUE, FailureCause.TEMPORAL)
            self._refused_claims.append(claimed)
            log.warning("Temporal refused a start; it waits in Postgres", status=error.status.name)
            return
        self._started_claims.append(started)
        if started.waits_until is not None:
            self._loops[STARTED_LOOP].wake()  # only the mark frees the slot

    async def _mark_started(self) -> float:
        """Record all starts since the last call in one statement. If this process dies before, the claims expire and
        the next process finds the workflows."""
        for start in [each for each in self._start_tasks if each.done()]:
            self._start_tasks.remove(start)
            start.result()
        if refused_claims := list(self._refused_claims):
            async with self._database.statement() as session:
                await claims.return_claims(session, self._process, refused_claims, POLL_INTERVAL)
            del self._refused_claims[: len(refused_claims)]
        if started := list(self._started_claims):
            async with self._database.statement() as session:
                await claims.mark_started(session, self._process, started)
            del self._started_claims[: len(started)]
            self._loops[CANCEL_DUE].wake()  # cancels from before the mark
        return MARK_INTERVAL

    async def _end_waits(self) -> float:
        async with self._database.statement() as session:
            ended = await claims.make_waiting_due(session, look_back=self._waits_window.look_back(), limit=BATCH_SIZE)
        if ended == BATCH_SIZE:
            return 0.0
        self._waits_window.mark_drained()
        return END_WAITS_INTERVAL

    async def _demote(self) -> float:
        async with self._database.statement() as session:
            demoted = await claims.demote_bursts(session, burst=self._urgent_burst, limit=BATCH_SIZE)
        count_limit_reached(ReachedLimit.URGENT_BURST, demoted)
        return 0.0 if demoted == BATCH_SIZE else DEMOTE_INTERVAL

    async def _run_if_leader(self, step: Callable[[], Awaitable[float]]) -> float:
        return await step() if self._listener.is_leader else POLL_INTERVAL

    async def _sweep_orphans(self) -> float:
        if self._listener.is_leader:
            await self._sweep.run()
        return SWEEP_INTERVAL
