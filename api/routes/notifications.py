"""Looking at notifications, and cancelling them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.callers import CallerDep
from api.canceling import cancel_row, canceled_view
from api.front_door import FrontDoor, scope
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import not_found
from api.schemas.base import ChannelName, Id, Timestamp
from api.schemas.notifications import Canceled, CanceledMany, CancelMany, NotificationSummary, NotificationView
from api.views import notification_view, summary_of
from domain.clock import now
from domain.statuses import NotificationStatus
from domain.waits import NO_WAITS
from storage import notifications, waits
from storage.cancel_keys import open_with_key
from storage.dispatching import announce_cancel

router = APIRouter(route_class=FrontDoor, tags=["notifications"], prefix="/notifications")

MOST_CANCELED = 100
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
    cancel_key: Annotated[str | None, Query(max_length=255)] = None,
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
        cancel_key=cancel_key,
        text=text,
        created_from=created_from,
        created_before=created_before,
        digest_id=digest,
    )
    async with parts.database.transaction() as session:
        rows = await notifications.search(session, caller.tenant, wanted, before=paging.after_id, limit=paging.fetch)
        open_ids = [row.id for row in rows if row.finished_at is None]
        found = await waits.read(session, caller.tenant, open_ids, now())
    return paging.page(
        rows, lambda row: row.id, lambda row: summary_of(row, found.get(row.id, NO_WAITS), parts.settings)
    )


@router.get("/{id}")
@scope("read")
async def get_notification(id: Id, caller: CallerDep, parts: PartsDep) -> NotificationView:
    """Everything about one: content, attempts and timeline."""
    async with parts.database.transaction() as session:
        record = await notifications.read(session, caller.tenant, id, now())
    if record is None:
        raise not_found(UNKNOWN)
    return notification_view(record, parts.settings)


@router.post("/cancel")
@scope("send")
async def cancel_notifications(body: CancelMany, caller: CallerDep, parts: PartsDep) -> CanceledMany:
    """Cancel open notifications by their `cancel_key`, at most 100 per call; each is answered as by its own cancel."""
    async with parts.database.transaction() as session:
        rows = await open_with_key(session, caller.tenant, body.cancel_key, body.recipient_id, MOST_CANCELED + 1)
        ended = [await cancel_row(session, row) for row in rows[:MOST_CANCELED]]
        await announce_cancel(session)
    items = [await canceled_view(parts, each) for each in ended]
    return CanceledMany(items=items, more=len(rows) > MOST_CANCELED)


@router.post("/{id}/cancel")
@scope("send")
async def cancel_notification(id: Id, caller: CallerDep, parts: PartsDep) -> Canceled:
    """What has not gone out will not. Answers from the rows, so also with no worker running."""
    async with parts.database.transaction() as session:
        row = await notifications.find(session, caller.tenant, id)
        if row is None:
            raise not_found(UNKNOWN)
        ended = await cancel_row(session, row)
        await announce_cancel(session)
    return await canceled_view(parts, ended)
