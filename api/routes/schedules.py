"""Routes of recurring sends. The dispatcher and the ticks of their types run them."""

from fastapi import APIRouter, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import conflict, invalid, not_found
from api.schedule_views import schedule_summary, schedule_view
from api.schemas.base import Key
from api.schemas.schedules import (
    BackfillBody,
    BackfillResponse,
    ScheduleBody,
    ScheduleSummary,
    ScheduleView,
    TriggerResponse,
)
from domain.clock import now
from domain.validation_issues import issue_at
from services import schedules
from services.schedules import PlanningInProgress, ScheduleCommand, ScheduleState
from storage import tenants
from storage.schedules import list_page

router = APIRouter(route_class=AuthenticatedRoute, prefix="/schedules", tags=["schedules"])

PLANNING_IN_PROGRESS = "The schedule is being planned after a change; retry when its `planning` is null."
PLANNING_RETRY_AFTER = 5  # seconds


@router.put("/{key}", responses={201: {"model": ScheduleView, "description": "Created"}})
@scope("manage")
async def put_schedule(
    key: Key, body: ScheduleBody, caller: CallerDep, container: ContainerDep, response: Response
) -> ScheduleView:
    """Create or replace a schedule, checked like a send. If its times stay the same, due runs still happen."""
    command = ScheduleCommand(
        notification_type=body.notification_type,
        channels=body.channels,
        payload=body.payload,
        named_recipients=body.named_recipients,
        spec=body.spec,
    )
    state, is_new = await schedules.save(
        container.database, container.catalog, container.renderer, caller, key, command
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/schedules/{key}"
    return _view(state)


@router.get("/{key}")
@scope("read")
async def get_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> ScheduleView:
    """Return a schedule with its next occurrences and its last runs."""
    return _view(await schedules.read(container.database, caller.tenant, key))


@router.get("")
@scope("read")
async def list_schedules(caller: CallerDep, container: ContainerDep, paging: PagingDep) -> Page[ScheduleSummary]:
    """List all schedules, by key."""
    async with container.database.transaction() as session:
        rows = await list_page(session, caller.tenant, paging.after, paging.fetch_limit)
        zone = await tenants.read_timezone(session, caller.tenant)
    return paging.page(rows, lambda row: row.key, lambda row: schedule_summary(row, zone, now()))


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> None:
    """Delete a schedule. Notifications that it has accepted are still sent."""
    if not await schedules.delete(container.database, caller, key):
        raise schedule_not_found()


@router.post("/{key}/pause")
@scope("manage")
async def pause_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> ScheduleView:
    """Pause a schedule. Occurrences during the pause are skipped; `backfill` can run them later."""
    return _view(await schedules.pause(container.database, caller, key))


@router.post("/{key}/resume")
@scope("manage")
async def resume_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> ScheduleView:
    """Resume a schedule. The next run is its next occurrence."""
    return _view(await schedules.resume(container.database, caller, key))


@router.post("/{key}/trigger", status_code=202)
@scope("send")
async def trigger_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> TriggerResponse:
    """Run a schedule now for all its recipients, also while it is paused or an earlier run is unfinished."""
    run_id = await schedules.trigger(container.database, caller, key)
    if run_id is None:
        raise schedule_not_found()
    return TriggerResponse(run_id=run_id)


@router.post("/{key}/backfill", status_code=202, responses=problem_responses(409))
@scope("send")
async def backfill_schedule(
    key: Key, body: BackfillBody, caller: CallerDep, container: ContainerDep
) -> BackfillResponse:
    """Run every occurrence in the range (at most 100) by the current rule. Skip recipients that already had it."""
    if body.end > now():
        raise invalid(issue_at("/to", "must be in the past"))
    try:
        times = await schedules.backfill(container.database, caller, key, body.start, body.end)
    except PlanningInProgress:
        raise conflict(PLANNING_IN_PROGRESS, retry_after=PLANNING_RETRY_AFTER) from None
    if times is None:
        raise schedule_not_found()
    return BackfillResponse(times=times)


def _view(state: ScheduleState | None) -> ScheduleView:
    if state is None:
        raise schedule_not_found()
    return schedule_view(state, now())


def schedule_not_found() -> Exception:
    return not_found("There is no schedule with this key.")
