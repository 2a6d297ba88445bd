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
LONGEST_WAIT = 0.02
# Items of one statement: with bodies at their limit, as many bytes as a batch may have.
GROUP_LIMIT = 32


@dataclass(kw_only=True)
class _Waiting(Generic[Item, Result]):
    """Of one tenant: the items that wait, how many statements are under way, and when the next one starts anyway."""

    items: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list)
    running: int = 0
    timer: asyncio.TimerHandle | None = None

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Groups(Generic[Item, Result]):
    """`run` gets a tenant and up to 32 items, and returns the results in their order. One object per event loop."""

    def __init__(self, run: Callable[[UUID, Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._run = run
        self._tenants: dict[UUID, _Waiting[Item, Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, tenant: UUID, item: Item) -> Result:
        """Raise what `run` raises. An error that is no outage is raised only for the item that causes it."""
        loop = asyncio.get_running_loop()
        waiting = self._tenants.setdefault(tenant, _Waiting())
        future: asyncio.Future[Result] = loop.create_future()
        waiting.items.append((item, future))
        if not waiting.running:
            self._start(tenant)
        elif waiting.timer is None:
            waiting.timer = loop.call_later(LONGEST_WAIT, self._start, tenant)
        return await future

    def _start(self, tenant: UUID) -> None:
        waiting = self._tenants[tenant]
        waiting.running += 1
        waiting.cancel_timer()
        task = asyncio.create_task(self._run_group(tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_group(self, tenant: UUID) -> None:
        """What arrives until the task runs is part of its group."""
        waiting = self._tenants[tenant]
        group, waiting.items = waiting.items[:GROUP_LIMIT], waiting.items[GROUP_LIMIT:]
        if not waiting.items:
            waiting.cancel_timer()
        if group:
            await self._settle(tenant, group)
        waiting.running -= 1
        if waiting.items and not waiting.running:
            self._start(tenant)
        elif not waiting.items and not waiting.running:
            del self._tenants[tenant]

    async def _settle(self, tenant: UUID, group: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Give each waiting call its result or the error."""
        [call], _ = await asyncio.wait([asyncio.create_task(self._call(tenant, [item for item, _ in group]))])
        error = call.exception()
        if error is not None and len(group) > 1 and not is_outage(error):
            for one in group:
                await self._settle(tenant, [one])
            return
        results = [None] * len(group) if error is not None else call.result()
        for (_, future), result in zip(group, results, strict=True):
            _resolve(future, result, error)

    async def _call(self, tenant: UUID, items: Sequence[Item]) -> Sequence[Result]:
        return await self._run(tenant, items)


def _resolve(future: "asyncio.Future[Result]", result: Result | None, error: BaseException | None) -> None:
    """A call that was canceled meanwhile needs no answer."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
