"""Join concurrent calls of one tenant into one database statement: the lookup of idempotency keys and the insert of
single sends. Used by `services/acceptance.py`.

A statement costs three round trips and a commit, for one row as for many. While one is running, the next calls wait and
then share one. Without a running statement, a call is not delayed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from domain.json_types import Json
from storage.acceptance import AcceptResult, NewNotification, accept_without_profiles, find_key_holders
from storage.connections import is_outage
from storage.database import Database

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds. Limits how long a statement that waits for a lock delays the next ones.
MAX_WAIT = 0.02
# Items of one statement. With bodies of maximum size, they have as many bytes as a batch.
MAX_GROUP_SIZE = 32


@dataclass(kw_only=True)
class _TenantQueue(Generic[Item, Result]):
    """The waiting items of a tenant, its number of running statements, and the timer that starts the next one."""

    items: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list)
    running: int = 0
    timer: asyncio.TimerHandle | None = None

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class StatementGroups(Generic[Item, Result]):
    """`run` receives a tenant and up to 32 items, and returns the results in order. One object per event loop."""

    def __init__(self, run: Callable[[UUID, Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._run = run
        self._tenants: dict[UUID, _TenantQueue[Item, Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, tenant: UUID, item: Item) -> Result:
        """Return the result of the item. Raise what `run` raises; an error that is not an outage is raised only for the
        item that causes it."""
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
        """Run one group. Items that arrive before the task runs are part of it."""
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


class SendStatementGroups:
    """`announce` wakes the dispatchers for committed notifications. A key is held for `key_window` seconds."""

    def __init__(
        self, database: Database, key_window: float, announce: Callable[[Sequence[NewNotification]], None]
    ) -> None:
        self._database = database
        self._key_window = key_window
        self._announce = announce
        self._inserts: StatementGroups[NewNotification, AcceptResult] = StatementGroups(self._insert)
        self._lookups: StatementGroups[str, Json | None] = StatementGroups(self._look_up)

    async def insert(self, tenant: UUID, item: NewNotification) -> AcceptResult:
        """Insert an item without a profile. Two profiles of one recipient must be merged one after the other."""
        return await self._inserts.submit(tenant, item)

    async def find_key_holder(self, tenant: UUID, key: str) -> Json | None:
        """Return the notification or multi-send that holds the key, or None."""
        return await self._lookups.submit(tenant, key)

    async def _insert(self, tenant: UUID, items: Sequence[NewNotification]) -> list[AcceptResult]:
        async with self._database.statement() as session:
            rows = await accept_without_profiles(session, tenant, list(items))
        self._announce(items)
        return [rows[item.id] for item in items]

    async def _look_up(self, tenant: UUID, keys: Sequence[str]) -> list[Json | None]:
        async with self._database.quick_transaction() as session:
            held = await find_key_holders(session, tenant, list(keys), self._key_window)
        return [held.get(key) for key in keys]


def _resolve_future(future: "asyncio.Future[Result]", result: Result | None, error: BaseException | None) -> None:
    """Resolve the future, unless its call was canceled."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
