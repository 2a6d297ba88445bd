"""Looking at notifications, and cancelling them."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import not_found
from api.schemas.base import ChannelName, Id, Timestamp
from api.schemas.notifications import Canceled, NotificationSummary, NotificationView
from api.views import notification_view, summary_of
from domain.cancellation import answers, cancel
from domain.clock import now
from domain.records import Ledger
from domain.statuses import NotificationStatus
from models.notifications import Notification
from storage import digests, notifications
from storage.dispatching import announce_cancel
from storage.ledgers import Key, amend, load

router = APIRouter(route_class=FrontDoor, tags=["notifications"], prefix="/notifications")

UNKNOWN = "There is no such notification."


@router.get("")
@scope("read")
async def list_notifications(
    caller: CallerDep,
    parts: PartsDep,
    paging: PagingDep,
    recipient_id: Annotated[str | None, Query(max_length=255)] = None,
    notification_type: Annotated[str | None, Query(max_length=255)] = None,
    status: NotificationStatus | None = None,
    channel: ChannelName | None = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    text: Annotated[str | None, Query(max_length=200, description="Words of the content.")] = None,
    created_from: Timestamp | None = None,
    created_before: Timestamp | None = None,
    digest: Annotated[Id | None, Query(description="The items of a digest, and what it became.")] = None,
) -> Page[NotificationSummary]:
    """Those that fit every filter given, newest first."""
    wanted = notifications.Search(
        recipient_id=recipient_id,
        notification_type=notification_type,
        status=status,
        channel=channel,
        tag=tag,
        text=text,
        created_from=created_from,
        created_before=created_before,
        digest_id=digest,
    )
    async with parts.database.transaction() as session:
        rows = await notifications.search(session, caller.tenant, wanted, before=paging.after_id, limit=paging.fetch)
    items, cursor = paging.page(rows, lambda row: row.id, lambda row: summary_of(row, parts.settings))
    return Page(items=items, next_cursor=cursor)


@router.get("/{id}")
@scope("read")
async def get_notification(id: Id, caller: CallerDep, parts: PartsDep) -> NotificationView:
    """Everything about one: content, attempts and timeline."""
    async with parts.database.transaction() as session:
        record = await notifications.read(session, caller.tenant, id)
    if record is None:
        raise not_found(UNKNOWN)
    return notification_view(record, parts.settings)


@router.post("/{id}/cancel")
@scope("send")
async def cancel_notification(id: Id, caller: CallerDep, parts: PartsDep) -> Canceled:
    """What has not gone out will not. Answers from the rows, so also with no worker running."""
    async with parts.database.transaction() as session:
        row = await notifications.find(session, caller.tenant, id)
        if row is None:
            raise not_found(UNKNOWN)
        key = Key(notification_id=id, tenant=caller.tenant)
        ledger = await amend(session, key, lambda ledger: cancel(ledger, now()))
        digest = await _digest(session, row, ledger)
        await announce_cancel(session)
    kind = await parts.catalog.type_by_id(caller.tenant, row.type_id)
    route = [channel for channel in kind.channels if row.channels is None or channel in row.channels]
    return Canceled(id=id, status=ledger.status, channels=answers(ledger, route, digest))


async def _digest(session: AsyncSession, row: Notification, item: Ledger) -> Ledger | None:
    """What has become of the digest that an item went into: it is not stopped for one of them."""
    if item.status is not NotificationStatus.DIGESTED:
        return None
    await session.refresh(row)  # it may have been read before it was collected
    if row.digest_id is None:
        return None
    window = await digests.find(session, row.tenant, row.digest_id)
    if window is None or window.notification_id is None:
        return None
    return await load(session, Key(notification_id=window.notification_id, tenant=row.tenant), lock=False)
