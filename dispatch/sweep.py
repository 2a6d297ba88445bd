"""Makes Temporal and Postgres agree again on one notification: its workflow is gone, or an operator terminated it."""

import asyncio
from uuid import UUID

import structlog
from temporalio.client import WorkflowExecutionStatus

from dispatch.starter import Starter
from domain.clock import now
from domain.ledger import finish
from domain.reasons import Reason
from domain.records import Ledger
from domain.statuses import NotificationStatus
from storage import dispatching, stores
from storage.database import Database
from storage.ledgers import Key, amend

log = structlog.get_logger(__name__)

BATCH = 20
Orphan = tuple[UUID, UUID, int]


class Sweep:
    def __init__(self, database: Database, starter: Starter) -> None:
        self._database = database
        self._starter = starter

    async def run(self) -> None:
        """A server at a wrong address knows none of our workflows: then nothing is concluded. So its store is asked for
        before the workflows and after them."""
        if not await self._may_conclude():
            return
        async with self._database.statement() as session:
            started = await dispatching.strays(session, BATCH)
        found = await asyncio.gather(*(self._look_after(one) for one in started))
        lost = [one for one in found if one is not None]
        if lost and await self._may_conclude():
            await self._redispatch(lost)

    async def _may_conclude(self) -> bool:
        seen_id = await self._starter.store_id()
        async with self._database.statement() as session:
            return await stores.may_conclude(session, seen_id)

    async def _look_after(self, started: Orphan) -> Orphan | None:
        """Return it if Temporal knows no workflow of it. One that ended without its notification ends it."""
        notification_id, tenant, generation = started
        status = await self._starter.status(notification_id, generation)
        if status is None:
            return started
        if status is WorkflowExecutionStatus.RUNNING:
            return None
        async with self._database.transaction() as session:
            if not await dispatching.is_started(session, notification_id, generation):
                return None  # it has ended, or was handed to a digest
            # Terminated, timed out, or failed without settling: nothing will finish the row any more.
            reason = Reason("workflow_ended", {"how": status.name.lower()})
            key = Key(notification_id=notification_id, tenant=tenant)
            after = await amend(session, key, lambda ledger: abandoned(ledger, generation, reason))
        if after.events:
            log.error(
                "a workflow ended without its notification", notification_id=str(notification_id), status=status.name
            )
        return None  # without events it had ended a moment before

    async def _redispatch(self, lost: list[Orphan]) -> None:
        async with self._database.transaction() as session:
            for notification_id, _, generation in sorted(lost):
                await dispatching.redispatch(session, notification_id, generation)


def abandoned(ledger: Ledger, generation: int, reason: Reason) -> Ledger:
    if ledger.generation != generation or ledger.finished_at is not None:
        return ledger
    return finish(ledger, now(), NotificationStatus.FAILED, reason)
