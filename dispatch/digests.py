"""Collects what is to be collected, closes what is full, and sees to it that each window has a workflow that closes it.

Run by the dispatcher that leads.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from temporalio.service import RPCError

from dispatch.starter import Starter
from storage import digests
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting, has_work

log = structlog.get_logger(__name__)

AT_ONCE = 16
CLOSED_AT_ONCE = 50
LOOK_AGAIN = 2.0
ITEMS_AT_ONCE = 500
# Whatever should have closed it has had its time: a tick comes every quarter of an hour at most.
OVERDUE = 1_200.0
OVERDUE_WITH_WORKFLOW = 10.0


class Digests:
    def __init__(self, database: Database, catalog: Catalog, starter: Starter) -> None:
        self._database = database
        self._catalog = catalog
        self._starter = starter

    async def collect(self) -> float:
        """Most looks find nothing, and take no lock."""
        async with self._database.statement() as session:
            if not await has_work(session):
                return LOOK_AGAIN
        async with self._database.transaction() as session:
            taken = await collect_waiting(session, self._catalog.type_by_id, ITEMS_AT_ONCE)
        while await self._close_filled():
            pass
        return LOOK_AGAIN if taken < ITEMS_AT_ONCE else 0.0

    async def tell(self) -> float:
        """No lock is held while Temporal is asked; told twice is once. What cannot be closed holds up nobody."""
        async with self._database.statement() as session:
            due = await digests.to_tell(session, AT_ONCE)
        told = []
        for window in due:
            try:
                await self._starter.open_digest(window)
                told.append(window)
            except RPCError as error:
                log.warning("Temporal does not take a digest; it waits in Postgres", status=error.status.name)
        if told:
            async with self._database.statement() as session:
                await digests.mark_told(session, told)
        closed = await self._close_overdue()
        return LOOK_AGAIN if len(told) < AT_ONCE and not closed else 0.0

    async def _close_filled(self) -> int:
        """Not where they were filled: that holds locks on other items."""
        async with self._database.statement() as session:
            filled = await digests.filled(session, CLOSED_AT_ONCE)
        return await self._close(filled)

    async def _close_overdue(self) -> int:
        async with self._database.quick_transaction() as session:
            overdue = await digests.overdue(session, OVERDUE_WITH_WORKFLOW, OVERDUE, CLOSED_AT_ONCE)
        closed = await self._close(overdue)
        if closed:
            log.warning("windows that nobody else had closed", closed=closed)
        return closed

    async def _close(self, windows: Sequence[UUID]) -> int:
        """A transaction for each: a large window delays no other, and one that fails undoes no other."""
        closed = 0
        for id in windows:
            async with self._database.transaction() as session:
                closed += await digests.close_one(session, id)
        return closed
