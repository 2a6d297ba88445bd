"""Cancel notifications and report the result of each channel. Called by the routes of notifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.cancellation import CancelResult, cancel_notification, cancel_results
from domain.channels import Channel
from domain.clock import now
from domain.names import CANCEL_DUE, DISPATCH_CHANNEL
from domain.records import Ledger
from domain.statuses import NotificationStatus
from models.notifications import Notification
from storage import digests, notifications
from storage.catalog import Catalog
from storage.database import Database
from storage.ledgers import NotificationRef, amend, load
from storage.notifications import find_open_by_cancel_key
from storage.statements import notify

MAX_CANCELED = 100


@dataclass(frozen=True, kw_only=True)
class CancelReport:
    """Hold the status of a notification after a cancel, and the result for each channel of its route."""

    id: UUID
    status: NotificationStatus
    channels: Mapping[Channel, CancelResult]


@dataclass(frozen=True, kw_only=True)
class _CanceledRow:
    """A canceled notification. `digest` is the ledger of the digest that an item was merged into."""

    row: Notification
    ledger: Ledger
    digest: Ledger | None


async def cancel_by_id(database: Database, catalog: Catalog, tenant: UUID, id: UUID) -> CancelReport | None:
    async with database.transaction() as session:
        row = await notifications.find(session, tenant, id)
        if row is None:
            return None
        canceled = await _cancel(session, row)
        await notify(session, DISPATCH_CHANNEL, [CANCEL_DUE])
    return await _report(catalog, canceled)


async def cancel_by_key(
    database: Database, catalog: Catalog, tenant: UUID, cancel_key: str, recipient_id: str | None
) -> tuple[list[CancelReport], bool]:
    """Cancel at most MAX_CANCELED open notifications with the key, and return whether there are more."""
    async with database.transaction() as session:
        rows = await find_open_by_cancel_key(session, tenant, cancel_key, recipient_id, MAX_CANCELED + 1)
        canceled = [await _cancel(session, row) for row in rows[:MAX_CANCELED]]
        await notify(session, DISPATCH_CHANNEL, [CANCEL_DUE])
    return [await _report(catalog, each) for each in canceled], len(rows) > MAX_CANCELED


async def _cancel(session: AsyncSession, row: Notification) -> _CanceledRow:
    ref = NotificationRef(notification_id=row.id, tenant=row.tenant)
    ledger = await amend(session, ref, lambda ledger: cancel_notification(ledger, now()))
    return _CanceledRow(row=row, ledger=ledger, digest=await _digest_ledger(session, row, ledger))


async def _report(catalog: Catalog, canceled: _CanceledRow) -> CancelReport:
    row = canceled.row
    notification_type = await catalog.type_by_id(row.tenant, row.type_id)
    route = [channel for channel in notification_type.channels if row.channels is None or channel in row.channels]
    channels = cancel_results(canceled.ledger, route, canceled.digest)
    return CancelReport(id=row.id, status=canceled.ledger.status, channels=channels)


async def _digest_ledger(session: AsyncSession, row: Notification, item: Ledger) -> Ledger | None:
    """Return the ledger of the digest that the item went into. Canceling one item does not stop the digest."""
    if item.status is not NotificationStatus.DIGESTED:
        return None
    await session.refresh(row)  # the row may have been read before it was collected
    if row.digest_id is None:
        return None
    window = await digests.find(session, row.tenant, row.digest_id)
    if window is None or window.notification_id is None:
        return None
    return await load(session, NotificationRef(notification_id=window.notification_id, tenant=row.tenant), lock=False)
