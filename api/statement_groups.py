"""Joins concurrent calls of one tenant into one database statement; used by acceptance for single sends.

A statement costs three round trips and a commit, for one row as for many. While one is under way, the next calls wait
and then share one. A call that meets nobody is not delayed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from storage.outages import is_outage

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds. A statement that waits for a lock does not hold up those that come after it for longer.
MAX_WAIT = 0.02
# Items of one statement: with bodies at their limit, as many bytes as a batch may have.
MAX_GROUP_SIZE = 32


@dataclass(kw_only=True)
class _TenantQueue(Generic[Item, Result]):
    """Of one tenant: the items that wait, how many statements are under way, and when the next one starts anyway."""

    items: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list)
    running: int = 0
    timer: asyncio.TimerHandle | None = None

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class StatementGroups(Generic[Item, Result]):
    """`run` gets a tenant and up to 32 items, and returns the results in their order. One object per event loop."""

    def __init__(self, run: Callable[[UUID, Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._run = run
        self._tenants: dict[UUID, _TenantQueue[Item, Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, tenant: UUID, item: Item) -> Result:
        """Raise what `run` raises. An error that is no outage is raised only for the item that causes it."""
        loop = asyncio.get_running_loop()
        queue = self._tenants.setdefault(tenant, _TenantQueue())
        future: asyncio.Future[Result] = loop.create_future()
        queue.items.append((item, future))
        if not queue.running:
            self._start_group(tenant)
        elif queue.timer is None:
            queue.timer = loop.call_later(MAX_WAIT, self._start_group, tenant)
        return await future

    def _start_group(self, tenant: UUID) -> None:
        queue = self._tenants[tenant]
        queue.running += 1
        queue.cancel_timer()
        task = asyncio.create_task(self._run_group(tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_group(self, tenant: UUID) -> None:
        """What arrives until the task runs is part of its group."""
        queue = self._tenants[tenant]
        group, queue.items = queue.items[:MAX_GROUP_SIZE], queue.items[MAX_GROUP_SIZE:]
        if not queue.items:
            queue.cancel_timer()
        if group:
            await self._run_and_resolve(tenant, group)
        queue.running -= 1
        if queue.items and not queue.running:
            self._start_group(tenant)
        elif not queue.items and not queue.running:
            del self._tenants[tenant]

    async def _run_and_resolve(self, tenant: UUID, group: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Give each waiting call its result or the error."""
        [call], _ = await asyncio.wait([asyncio.create_task(self._call(tenant, [item for item, _ in group]))])
        error = call.exception()
        if error is not None and len(group) > 1 and not is_outage(error):
            for one in group:
                await self._run_and_resolve(tenant, [one])
            return
        results = [None] * len(group) if error is not None else call.result()
        for (_, future), result in zip(group, results, strict=True):
            _resolve_future(future, result, error)

    async def _call(self, tenant: UUID, items: Sequence[Item]) -> Sequence[Result]:
        return await self._run(tenant, items)


def _resolve_future(future: "asyncio.Future[Result]", result: Result | None, error: BaseException | None) -> None:
    """A call that was canceled meanwhile needs no answer."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
