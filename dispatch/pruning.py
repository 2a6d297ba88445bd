"""Removes old rows in small batches, with pauses. Run by the dispatcher that leads.

A batch is a transaction of a few hundred rows with a time-out of its own, so that sends do not wait for it.
"""

from datetime import datetime, timedelta

from domain.clock import now
from storage import audit, pruning, retention, throttles
from storage.database import Database
from storage.retention import FIRST, TenantRetention

BATCH_SIZE = 200  # rows, or notifications with all that belongs to them
PAUSE = 0.25  # seconds between two batches
PRUNE_EVERY = 60.0
TENANTS_EVERY = 3600.0


class Pruning:
    """`kept_at_least`: the time for which an idempotency key is remembered, whatever a tenant has set."""

    def __init__(self, database: Database, kept_at_least: timedelta, batch_size: int = BATCH_SIZE) -> None:
        self._database = database
        self._kept_at_least = kept_at_least
        self._batch_size = batch_size
        self._turn = FIRST
        self._tenant = FIRST
        self._record = FIRST
        self._tenants_again: datetime | None = None

    async def prune(self) -> float:
        """One batch of each kind."""
        full = [await self._prune_table(table) for table in pruning.KEPT]
        full += [await self._prune_throttles(), await self._prune_tenant()]
        return PAUSE if any(full) else PRUNE_EVERY

    async def _prune_table(self, table: str) -> bool:
        async with pruning.transaction(self._database) as session:
            return await pruning.prune(session, table, now(), self._batch_size) == self._batch_size

    async def _prune_throttles(self) -> bool:
        async with pruning.transaction(self._database) as session:
            last, _ = await throttles.prune(session, self._turn, self._batch_size)
        self._turn = last or FIRST
        return last is not None

    async def _prune_tenant(self) -> bool:
        """A batch of one tenant. Behind the last one there is a pause of an hour."""
        if self._tenants_again is not None and now() < self._tenants_again:
            return False
        async with pruning.transaction(self._database) as session:
            tenant = await retention.next_tenant(session, self._tenant)
        if tenant is None:
            self._tenant, self._tenants_again = FIRST, now() + timedelta(seconds=TENANTS_EVERY)
            return False
        async with pruning.transaction(self._database) as session:
            excess = await audit.delete_excess(session, tenant.id, self._batch_size)
        if not await self._prune_notifications(tenant) and excess < self._batch_size:
            self._tenant, self._record = tenant.id, FIRST
        return True

    async def _prune_notifications(self, tenant: TenantRetention) -> bool:
        """Whether more of it is old enough to be looked at."""
        async with pruning.transaction(self._database) as session:
            before = self._before(tenant, tenant.record_days)
            deleted = await retention.delete_records(session, tenant.id, before, self._record, self._batch_size)
            windows = await retention.delete_digests(session, tenant.id, before, self._batch_size)
        self._record = deleted.last or self._record
        async with pruning.transaction(self._database) as session:
            before = self._before(tenant, tenant.content_days)
            emptied = await retention.remove_content(session, tenant.id, before, tenant.content_after, self._batch_size)
        return deleted.last is not None or emptied.last is not None or windows == self._batch_size

    def _before(self, tenant: TenantRetention, days: int) -> datetime:
        return tenant.at - max(timedelta(days=days), self._kept_at_least)
