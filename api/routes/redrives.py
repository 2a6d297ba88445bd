"""Routes that send failed notifications again: one, or all that match a filter. They need only Postgres."""

from fastapi import APIRouter

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.problems import not_found
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.redrives import RedriveBody, RedriveManyBody, RedriveOneResponse, RedriveResponse, SkippedNotification
from domain.statuses import NotificationStatus
from services.redriving import RedriveCommand, RedriveResult, redrive_all, redrive_one
from storage.notifications import NotificationFilter

router = APIRouter(route_class=AuthenticatedRoute, tags=["redrives"], prefix="/notifications")


@router.post("/redrive")
@scope("send")
async def redrive_notifications(body: RedriveManyBody, caller: CallerDep, container: ContainerDep) -> RedriveResponse:
    """Send failed notifications again, `TOCSIN_RESUME_RATE` per second. Skip those that expired or have no channel."""
    command = RedriveCommand(
        tenant=caller.tenant,
        key_id=caller.key_id,
        key_name=caller.key_name,
        force=body.force,
        dry_run=body.dry_run,
        max_redriven=body.limit,
        rate=container.settings.resume_rate,
    )
    result = await redrive_all(
        container.database,
        container.build_services().route_resolver,
        NotificationFilter(**body.filter.model_dump()),
        command,
    )
    return RedriveResponse(matched=result.matched, redriven=result.redriven, skipped=_skipped_notifications(result))


@router.post("/{id}/redrive")
@scope("send")
async def redrive_notification(
    id: Id, caller: CallerDep, container: ContainerDep, body: RedriveBody | None = None
) -> RedriveOneResponse:
    """Send a notification again as a new generation. If that is not possible, `skipped` has the reason."""
    command = RedriveCommand(
        tenant=caller.tenant, key_id=caller.key_id, key_name=caller.key_name, force=body is not None and body.force
    )
    outcome = await redrive_one(container.database, container.build_services().route_resolver, id, command)
    if outcome is None:
        raise not_found(UNKNOWN)
    found, result = outcome
    return RedriveOneResponse(
        id=id,
        status=NotificationStatus.PENDING if result.redriven else found.candidate.status,
        generation=found.generation + result.redriven,
        matched=1,
        redriven=result.redriven,
        skipped=_skipped_notifications(result),
    )


def _skipped_notifications(result: RedriveResult) -> list[SkippedNotification]:
    return [SkippedNotification(id=id, reason=reason) for id, reason in result.skipped]
