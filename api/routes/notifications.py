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
from domain.clock import now
from domain.statuses import NotificationStatus
from domain.waits import NO_WAITS
from services.canceling import CancelReport, cancel_by_id, cancel_by_key
from storage import gates, notifications

router = APIRouter(route_class=AuthenticatedRoute, tags=["notifications"], prefix="/notifications")

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
    reports, more = await cancel_by_key(
        container.database, container.catalog, caller.tenant, body.cancel_key, body.recipient_id
    )
    return CanceledNotifications(items=[_canceled_view(report) for report in reports], more=more)


@router.post("/{id}/cancel")
@scope("send")
async def cancel_notification(id: Id, caller: CallerDep, container: ContainerDep) -> CanceledNotification:
    """Cancel the channels of a notification that have not sent it. Works without a running worker."""
    report = await cancel_by_id(container.database, container.catalog, caller.tenant, id)
    if report is None:
        raise not_found(UNKNOWN)
    return _canceled_view(report)


def _canceled_view(report: CancelReport) -> CanceledNotification:
    return CanceledNotification(id=report.id, status=report.status, channels=dict(report.channels))
