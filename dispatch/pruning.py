"""Remove old rows in small batches with pauses. Run by the leader.

A batch is a transaction of a few hundred rows with its own timeout, so that sends do not wait for it.
"""

from datetime import datetime, timedelta

from domain.clock import now
from domain.cursors import MIN_ID
from storage import attachment_removal, audit, retention, throttles
from storage.database import Database
from storage.retention import TenantRetention

BATCH_SIZE = 200  # rows, or notifications with all that belongs to them
BATCH_PAUSE = 0.25  # seconds between two batches
PRUNE_INTERVAL = 60.0
TENANT_SCAN_INTERVAL = 3600.0


class PruningTask:
    """Prune. `min_retention` is how long an idempotency key is remembered, whatever a tenant has set."""

    def __init__(
        self,
        database: Database,
        min_retention: timedelta,
        attachment_retention: timedelta,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._database = database
        self._min_retention = min_retention
        self._attachment_retention = attachment_retention
        self._batch_size = batch_size
        self._throttle_cursor = MIN_ID
        self._tenant_cursor = MIN_ID
        self._record_cursor = MIN_ID
        self._next_tenant_scan_at: datetime | None = None

    async def prune(self) -> float:
        """Remove one batch of each kind."""
        has_full_batch = [await self._prune_table(table) for table in retention.RETENTION_BY_TABLE]
        has_full_batch += [await self._prune_throttles(), await self._prune_attachments(), await self._prune_tenant()]
        return BATCH_PAUSE if any(has_full_batch) else PRUNE_INTERVAL

    async def _prune_table(self, table: str) -> bool:
        async with retention.transaction(self._database) as session:
            return await retention.prune_table(session, table, now(), self._batch_size) == self._batch_size

    async def _prune_throttles(self) -> bool:
        async with retention.transaction(self._database) as session:
            last, _ = await throttles.prune(session, self._throttle_cursor, self._batch_size)
        self._throttle_cursor = last or MIN_ID
        return last is not None

    async def _prune_attachments(self) -> bool:
        async with retention.transaction(self._database) as session:
            return await attachment_removal.prune(session, now(), self._attachment_retention) > 0

    async def _prune_tenant(self) -> bool:
        """Remove a batch of one tenant. After the last tenant pause for an hour."""
        if self._next_tenant_scan_at is not None and now() < self._next_tenant_scan_at:
            return False
        async with retention.transaction(self._database) as session:
            tenant = await retention.find_next_tenant(session, self._tenant_cursor)
        if tenant is None:
            self._tenant_cursor, self._next_tenant_scan_at = MIN_ID, now() + timedelta(seconds=TENANT_SCAN_INTERVAL)
            return False
        async with retention.transaction(self._database) as session:
            excess = await audit.delete_excess(session, tenant.id, self._batch_size)
        if not await self._prune_notifications(tenant) and excess < self._batch_size:
            self._tenant_cursor, self._record_cursor = tenant.id, MIN_ID
        return True

    async def _prune_notifications(self, tenant: TenantRetention) -> bool:
        """Return whether more notifications are old enough."""
        async with retention.transaction(self._database) as session:
            cutoff = self._cutoff(tenant, tenant.record_days)
            deleted = await retention.delete_records(session, tenant.id, cutoff, self._record_cursor, self._batch_size)
            windows = await retention.delete_digests(session, tenant.id, cutoff, self._batch_size)
        self._record_cursor = deleted.last or self._record_cursor
        async with retention.transaction(self._database) as session:
            cutoff = self._cutoff(tenant, tenant.content_days)
            emptied = await retention.remove_content(session, tenant.id, cutoff, tenant.content_after, self._batch_size)
            inbound = await retention.delete_inbound_messages(session, tenant.id, cutoff, self._batch_size)
        has_full_batch = self._batch_size in (windows, inbound)
        return deleted.last is not None or emptied.last is not None or has_full_batch

    def _cutoff(self, tenant: TenantRetention, days: int) -> datetime:
        return tenant.at - max(timedelta(days=days), self._min_retention)
