"""Sending again what has failed: one notification, or all that a filter finds. Needs the rows, not Temporal."""

from fastapi import APIRouter

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.problems import not_found
from api.redriving import Order, Tally, redrive_all, redrive_one
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.redrives import RedriveBody, RedriveMany, Redriven, RedrivenOne, Skipped
from domain.statuses import NotificationStatus
from storage.parked import Filter

router = APIRouter(route_class=FrontDoor, tags=["redrives"], prefix="/notifications")


@router.post("/redrive")
@scope("send")
async def redrive_notifications(body: RedriveMany, caller: CallerDep, parts: PartsDep) -> Redriven:
    """Send again what failed, at once or at the resume rate, but nothing that is expired or has no channel left."""
    order = Order(
        tenant=caller.tenant,
        key_id=caller.key_id,
        key_name=caller.key_name,
        force=body.force,
        dry_run=body.dry_run,
        most=body.limit,
        rate=parts.settings.resume_rate,
    )
    tally = await redrive_all(parts.database, parts.resolution, Filter(**body.filter.model_dump()), order)
    return Redriven(matched=tally.matched, redriven=tally.redriven, skipped=_skipped(tally))


@router.post("/{id}/redrive")
@scope("send")
async def redrive_notification(
    id: Id, caller: CallerDep, parts: PartsDep, body: RedriveBody | None = None
) -> RedrivenOne:
    """It goes out again at once, as a new generation; if it may not, `skipped` says why."""
    order = Order(
        tenant=caller.tenant, key_id=caller.key_id, key_name=caller.key_name, force=body is not None and body.force
    )
    answer = await redrive_one(parts.database, parts.resolution, id, order)
    if answer is None:
        raise not_found(UNKNOWN)
    found, tally = answer
    return RedrivenOne(
        id=id,
        status=NotificationStatus.PENDING if tally.redriven else found.candidate.status,
        generation=found.generation + tally.redriven,
        matched=1,
        redriven=tally.redriven,
        skipped=_skipped(tally),
    )


def _skipped(tally: Tally) -> list[Skipped]:
    return [Skipped(id=id, reason=reason) for id, reason in tally.skipped]
