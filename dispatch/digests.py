"""Collect digest items, close full windows, and ensure that each window has a workflow that closes it.

Run by the leader.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from temporalio.service import RPCError

from dispatch.workflow_starter import WorkflowStarter
from storage import digest_closing, digests
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting, has_work

log = structlog.get_logger(__name__)

BATCH_SIZE = 16
CLOSE_BATCH_SIZE = 50
POLL_INTERVAL = 2.0
ITEM_BATCH_SIZE = 500
# The workflow or tick has had its time: a tick comes at least every quarter of an hour.
OVERDUE_AFTER = 1_200.0
OVERDUE_AFTER_WITH_WORKFLOW = 10.0


class DigestTasks:
    def __init__(self, database: Database, catalog: Catalog, starter: WorkflowStarter) -> None:
        self._database = database
        self._catalog = catalog
        self._starter = starter

    async def collect_items(self) -> float:
        """Collect items. Most polls find nothing and take no lock."""
        async with self._database.statement() as session:
            if not await has_work(session):
                return POLL_INTERVAL
        async with self._database.transaction() as session:
            collected = await collect_waiting(session, self._catalog.type_by_id, ITEM_BATCH_SIZE)
        while await self._close_full_windows():
            pass
        return POLL_INTERVAL if collected < ITEM_BATCH_SIZE else 0.0

    async def signal_pending_windows(self) -> float:
        """Signal the workflows of open digest windows. Idempotent. Holds no lock during the call; one failure does
        not block the other windows."""
        async with self._database.statement() as session:
            due = await digests.list_pending_windows(session, BATCH_SIZE)
        signaled = []
        for window in due:
            try:
                await self._starter.start_or_signal_digest(window)
                signaled.append(window)
            except RPCError as error:
                log.warning("Temporal refused a digest; it waits in Postgres", status=error.status.name)
        if signaled:
            async with self._database.statement() as session:
                await digests.mark_signaled(session, signaled)
        closed = await self._close_overdue_windows()
        return POLL_INTERVAL if len(signaled) < BATCH_SIZE and not closed else 0.0

    async def _close_full_windows(self) -> int:
        """Close full windows separately: a transaction that fills them holds locks on other items."""
        async with self._database.statement() as session:
            full = await digests.list_full_windows(session, CLOSE_BATCH_SIZE)
        return await self._close_windows(full)

    async def _close_overdue_windows(self) -> int:
        async with self._database.quick_transaction() as session:
            overdue = await digests.list_overdue_windows(
                session, OVERDUE_AFTER_WITH_WORKFLOW, OVERDUE_AFTER, CLOSE_BATCH_SIZE
            )
        closed = await self._close_windows(overdue)
        if closed:
            log.warning("overdue windows were closed", closed=closed)
        return closed

    async def _close_windows(self, windows: Sequence[UUID]) -> int:
        """Close each window in its own transaction: a large one delays no other, and a failure undoes no other."""
        closed = 0
        for id in windows:
            async with self._database.transaction() as session:
                closed += await digest_closing.close_unlocked_window(session, id)
        return closed
