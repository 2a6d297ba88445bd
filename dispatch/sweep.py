"""Makes Temporal and Postgres agree again: a lost store, a workflow that is gone, one that an operator terminated."""

import asyncio
from uuid import UUID

import structlog
from temporalio.client import WorkflowExecutionStatus

from dispatch.starter import Starter
from domain.clock import now
from domain.ledger import finish
from domain.records import Ledger
from domain.statuses import NotificationStatus
from storage import dispatching
from storage.database import Database
from storage.ledgers import Key, amend

log = structlog.get_logger(__name__)

BATCH = 20


class Sweep:
    def __init__(self, database: Database, starter: Starter) -> None:
        self._database = database
        self._starter = starter
        self._store_id: str | None = None

    async def run(self) -> None:
        await self._adopt_store()
        async with self._database.transaction() as session:
            strays = await dispatching.strays(session, BATCH)
        await asyncio.gather(*(self._look_after(*stray) for stray in strays))

    async def _adopt_store(self) -> None:
        """One cheap call tells whether all workflows were lost at once. A new store may lack our search attributes."""
        store_id = await self._starter.store_id()
        if store_id == self._store_id:
            return
        await self._starter.prepare()
        async with self._database.transaction() as session:
            again = await dispatching.adopt_store(session, store_id)
        self._store_id = store_id
        if again:
            log.warning("Temporal's store is another one; open notifications are started again", count=again)

    async def _look_after(self, notification_id: UUID, tenant: UUID, generation: int) -> None:
        status = await self._starter.status(notification_id, generation)
        if status is WorkflowExecutionStatus.RUNNING:
            return
        async with self._database.transaction() as session:
            if not await dispatching.is_started(session, notification_id, generation):
                return  # it has ended, or was handed to a digest
            if status is None:
                await dispatching.redispatch(session, notification_id, generation)
                return
            # Terminated, timed out, or failed without settling: nobody will finish the row any more.
            reason = f"workflow_{status.name.lower()}"
            key = Key(notification_id=notification_id, tenant=tenant)
            await amend(session, key, lambda ledger: abandoned(ledger, generation, reason))
        log.error("a workflow ended without its notification", notification_id=str(notification_id), status=status.name)


def abandoned(ledger: Ledger, generation: int, reason: str) -> Ledger:
    if ledger.generation != generation or ledger.finished_at is not None:
        return ledger
    return finish(ledger, now(), NotificationStatus.FAILED, reason)
