"""Start, lend and replace the child processes. Each call waits for a child and then uses it exclusively."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metrics.engine import ReachedLimit, count_limit_reached
from rendering.fair_queue import FairQueue, RenderQueueFull, TenantId
from rendering.process import ChildProcess

START_SECONDS = 30.0
RESTART_DELAY = 1.0
# Of all tenants. A worker has 100 slots for local activities and 100 for workflow tasks; a waiting render holds one.
WAITING_LIMIT = 64
WAIT_SECONDS = 15.0

log = logging.getLogger(__name__)

Waiter = asyncio.Future[ChildProcess]


class ProcessPool:
    """Lend child processes to tenants, round-robin. With several children, no tenant may occupy all of them.

    `isolation` names the isolation layers of the newest child; it is None before the first child. A child that died
    counts toward its tenant until its replacement is ready, so that a tenant gains no capacity by killing children.
    """

    def __init__(self, children: int) -> None:
        self._children = children
        self._idle: list[ChildProcess] = []
        self._queue: FairQueue[Waiter] = FairQueue(slots_per_tenant=max(1, children - 1), waiting=WAITING_LIMIT)
        self._processes: set[ChildProcess] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._has_started = False
        self.isolation: Sequence[str] | None = None
        self._closing = asyncio.Event()

    @property
    def children(self) -> int:
        return self._children

    @property
    def in_use(self) -> int:
        return len(self._processes) - len(self._idle)

    @property
    def waiting(self) -> int:
        return self._queue.waiting

    def start_children(self) -> None:
        if not self._has_started:
            self._has_started = True
            for _ in range(self._children):
                self._schedule_start(lambda: None)

    async def acquire(self, tenant: TenantId) -> ChildProcess:
        """Return a child. Raises RenderQueueFull if the queue is full or after 15 s, RuntimeError if the pool is
        closed.
        """
        if self._closing.is_set():
            raise RuntimeError("the renderer is closed")
        self.start_children()
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._queue.enqueue(tenant, waiter)
        self._assign_idle()
        if (surplus := self._queue.remove_surplus(tenant)) is not None:
            count_limit_reached(ReachedLimit.RENDER_QUEUE)
            surplus.set_exception(RenderQueueFull())
        try:
            if not waiter.done():
                await asyncio.wait({waiter}, timeout=WAIT_SECONDS)
        except asyncio.CancelledError:
            self._abandon(tenant, waiter)
            raise
        if not waiter.done():
            self._abandon(tenant, waiter)
            count_limit_reached(ReachedLimit.RENDER_QUEUE)
            raise RenderQueueFull
        return waiter.result()

    def release(self, tenant: TenantId, process: ChildProcess, *, keep: bool) -> None:
        """Return a child to the pool. Without `keep`, kill and replace it."""
        if keep:
            self._queue.release(tenant)
            self._add_idle(process)
        else:
            process.kill()
            self._schedule_start(lambda: self._queue.release(tenant))

    async def close(self) -> None:
        """Kill the children. Calls that still wait for one raise RuntimeError."""
        self._closing.set()
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for process in self._processes:
            process.kill()
        await asyncio.gather(*(process.exited for process in self._processes))
        for waiter in self._queue.drain():
            waiter.set_exception(RuntimeError("the renderer is closed"))

    def _abandon(self, tenant: TenantId, waiter: Waiter) -> None:
        if not waiter.done():
            self._queue.remove(tenant, waiter)
        elif waiter.exception() is None:  # it got a child at this very moment
            self.release(tenant, waiter.result(), keep=True)

    def _add_idle(self, process: ChildProcess) -> None:
        self._idle.append(process)
        self._assign_idle()

    def _assign_idle(self) -> None:
        while self._idle:
            if self._idle[-1].exited.done():  # exited while idle: no call is affected
                self._idle.pop()
                self._schedule_start(lambda: None)
            elif (waiter := self._queue.dequeue()) is not None:
                waiter.set_result(self._idle.pop())
            else:
                return

    def _schedule_start(self, on_ready: Callable[[], None]) -> None:
        if not self._closing.is_set():
            task = asyncio.create_task(self._start_until_ready(on_ready))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start_until_ready(self, on_ready: Callable[[], None]) -> None:
        """Start children until one is ready. No call's deadline includes the start."""
        while not self._closing.is_set():
            process = await self._try_start()
            if process is not None:
                on_ready()
                self._add_idle(process)
                return
            log.error("a rendering process did not start")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RESTART_DELAY)

    async def _try_start(self) -> ChildProcess | None:
        """Start a child; None if that fails, for example without memory or processes left, or without a greeting in
        time.
        """
        try:
            process = await self._spawn()
        except OSError:
            return None
        with contextlib.suppress(TimeoutError):
            if (greeting := await process.read(START_SECONDS)) is not None:
                self._log_isolation(json.loads(greeting))
                return process
        process.kill()
        return None

    def _log_isolation(self, greeting: Mapping[str, Any]) -> None:
        """Log the isolation once, and again if it changes."""
        in_force = greeting.get("in_force", [])
        if self.isolation == in_force:
            return
        self.isolation = in_force
        missing = greeting.get("missing", {})
        log.log(
            logging.WARNING if missing else logging.INFO,
            "rendering processes are isolated by: %s; missing: %s",
            ", ".join(in_force) or "nothing",
            ", ".join(f"{name} ({error})" for name, error in missing.items()) or "nothing",
        )

    async def _spawn(self) -> ChildProcess:
        process = await ChildProcess.start()
        self._processes.add(process)
        process.exited.add_done_callback(lambda _: self._processes.discard(process))
        return process
