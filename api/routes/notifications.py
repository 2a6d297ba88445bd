"""Routes that list, read and cancel notifications."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep, FilterDep
from api.notification_views import notification_view, summary_of
from api.paging import Page, PagingDep
from api.problems import not_found
from api.schemas.base import Id
from api.schemas.notifications import (
    CanceledNotification,
    CanceledNotifications,
    CancelManyBody,
    NotificationSummary,
    NotificationView,
)
from bootstrap import Container
from domain.clock import now
from domain.names import CANCEL_DUE, DISPATCH_CHANNEL
from domain.statuses import NotificationStatus
from domain.waits import NO_WAITS
from services.canceling import CanceledRow, cancel_row, read_channel_results
from storage import gates, notifications
from storage.notifications import find_open_by_cancel_key
from storage.statements import notify

router = APIRouter(route_class=AuthenticatedRoute, tags=["notifications"], prefix="/notifications")

MAX_CANCELED = 100
UNKNOWN = "There is no such notification."


@router.get("")
@scope("read")
async def list_notifications(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    shared_filter: FilterDep,
    status: NotificationStatus | None = None,
    cancel_key: Annotated[str | None, Query(max_length=255)] = None,
    text: Annotated[str | None, Query(max_length=200, description="Words that the content contains.")] = None,
    digest: Annotated[
        Id | None, Query(description="Only the items of this digest and the notification made of them.")
    ] = None,
) -> Page[NotificationSummary]:
    """List notifications that match every given filter, newest first."""
    wanted = replace(shared_filter, status=status, cancel_key=cancel_key, text=text, digest_id=digest)
    async with container.database.transaction() as session:
        rows = await notifications.search(
            session, caller.tenant, wanted, before=paging.after_id, limit=paging.fetch_limit
        )
        open_ids = [row.id for row in rows if row.finished_at is None]
        found = await gates.read_waits(session, caller.tenant, open_ids, now())
    return paging.page(
        rows, lambda row: row.id, lambda row: summary_of(row, found.get(row.id, NO_WAITS), container.settings)
    )


@router.get("/{id}")
@scope("read")
async def get_notification(id: Id, caller: CallerDep, container: ContainerDep) -> NotificationView:
    """Return a notification with its content, attempts and timeline."""
    async with container.database.transaction() as session:
        record = await notifications.read_record(session, caller.tenant, id, now())
    if record is None:
        raise not_found(UNKNOWN)
    return notification_view(record, container.settings)


@router.post("/cancel")
@scope("send")
async def cancel_notifications(
    body: CancelManyBody, caller: CallerDep, container: ContainerDep
) -> CanceledNotifications:
    """Cancel open notifications with this `cancel_key`, at most 100 per call, and return the result of each."""
    async with container.database.transaction() as session:
        rows = await find_open_by_cancel_key(
            session, caller.tenant, body.cancel_key, body.recipient_id, MAX_CANCELED + 1
        )
        canceled = [await cancel_row(session, row) for row in rows[:MAX_CANCELED]]
        await notify(session, DISPATCH_CHANNEL, [CANCEL_DUE])
    items = [await _canceled_view(container, each) for each in canceled]
    return CanceledNotifications(items=items, more=len(rows) > MAX_CANCELED)


@router.post("/{id}/cancel")
@scope("send")
async def cancel_notification(id: Id, caller: CallerDep, container: ContainerDep) -> CanceledNotification:
    """Cancel the channels of a notification that have not sent it. Works without a running worker."""
    async with container.database.transaction() as session:
        row = await notifications.find(session, caller.tenant, id)
        if row is None:
            raise not_found(UNKNOWN)
        canceled = await cancel_row(session, row)
        await notify(session, DISPATCH_CHANNEL, [CANCEL_DUE])
    return await _canceled_view(container, canceled)


async def _canceled_view(container: Container, canceled: CanceledRow) -> CanceledNotification:
    channels = await read_channel_results(container.catalog, canceled)
    return CanceledNotification(id=canceled.row.id, status=canceled.ledger.status, channels=channels)
