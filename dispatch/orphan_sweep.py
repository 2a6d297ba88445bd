"""Repair notifications whose workflow is gone, or was terminated by an operator."""

import asyncio
from uuid import UUID

import structlog
from temporalio.client import WorkflowExecutionStatus

from dispatch.workflow_starter import WorkflowStarter
from domain.clock import now
from domain.ledger import finish_notification
from domain.reasons import Reason
from domain.records import Ledger
from domain.statuses import NotificationStatus
from storage import claims, engine_state
from storage.database import Database
from storage.ledgers import NotificationRef, amend

log = structlog.get_logger(__name__)

BATCH_SIZE = 20
Orphan = tuple[UUID, UUID, int]


class OrphanSweep:
    def __init__(self, database: Database, starter: WorkflowStarter) -> None:
        self._database = database
        self._starter = starter

    async def run(self) -> None:
        """Check orphaned notifications. A server at a wrong address knows none of our workflows, and then nothing is
        concluded. So read its store before and after the workflows."""
        if not await self._is_store_known():
            return
        async with self._database.statement() as session:
            started = await claims.claim_orphans(session, BATCH_SIZE)
        found = await asyncio.gather(*(self._check_workflow(one) for one in started))
        lost = [one for one in found if one is not None]
        if lost and await self._is_store_known():
            await self._redispatch(lost)

    async def _is_store_known(self) -> bool:
        seen_id = await self._starter.store_id()
        async with self._database.statement() as session:
            return await engine_state.is_conclusive(session, seen_id)

    async def _check_workflow(self, started: Orphan) -> Orphan | None:
        """Return the notification if Temporal has no workflow for it. Fail it if its workflow ended without
        finishing it."""
        notification_id, tenant, generation = started
        status = await self._starter.status(notification_id, generation)
        if status is None:
            return started
        if status is WorkflowExecutionStatus.RUNNING:
            return None
        async with self._database.transaction() as session:
            if not await claims.has_workflow(session, notification_id, generation):
                return None  # finished, or handed to a digest
            # Terminated, timed out, or failed without settling: nothing else will finish the row.
            reason = Reason("workflow_ended", {"how": status.name.lower()})
            ref = NotificationRef(notification_id=notification_id, tenant=tenant)
            after = await amend(session, ref, lambda ledger: fail_if_open(ledger, generation, reason))
        if after.events:
            log.error(
                "a workflow ended and left its notification open",
                notification_id=str(notification_id),
                status=status.name,
            )
        return None  # without events the notification had finished just before

    async def _redispatch(self, lost: list[Orphan]) -> None:
        async with self._database.transaction() as session:
            for notification_id, _, generation in sorted(lost):
                await claims.redispatch(session, notification_id, generation)


def fail_if_open(ledger: Ledger, generation: int, reason: Reason) -> Ledger:
    if ledger.generation != generation or ledger.finished_at is not None:
        return ledger
    return finish_notification(ledger, now(), NotificationStatus.FAILED, reason)
