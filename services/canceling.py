"""Cancel a notification under its row lock and report the result of each channel. Used by the routes of
notifications."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from domain.cancellation import CancelResult, cancel_notification, cancel_results
from domain.channels import Channel
from domain.clock import now
from domain.records import Ledger
from domain.statuses import NotificationStatus
from models.notifications import Notification
from storage import digests
from storage.catalog import Catalog
from storage.ledgers import NotificationRef, amend, load


@dataclass(frozen=True, kw_only=True)
class CanceledRow:
    """A canceled notification. `digest` is the ledger of the digest that an item was merged into."""

    row: Notification
    ledger: Ledger
    digest: Ledger | None


async def cancel_row(session: AsyncSession, row: Notification) -> CanceledRow:
    """Cancel the notification. The caller notifies the dispatchers before it commits."""
    ref = NotificationRef(notification_id=row.id, tenant=row.tenant)
    ledger = await amend(session, ref, lambda ledger: cancel_notification(ledger, now()))
    return CanceledRow(row=row, ledger=ledger, digest=await _digest_ledger(session, row, ledger))


async def read_channel_results(catalog: Catalog, canceled: CanceledRow) -> dict[Channel, CancelResult]:
    row = canceled.row
    notification_type = await catalog.type_by_id(row.tenant, row.type_id)
    route = [channel for channel in notification_type.channels if row.channels is None or channel in row.channels]
    return cancel_results(canceled.ledger, route, canceled.digest)


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
