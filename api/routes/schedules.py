"""Routes of recurring sends. The dispatcher and the ticks of their types run them."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import schedule_views
from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import conflict, invalid, not_found
from api.schemas.base import Key
from api.schemas.schedules import (
    BackfillBody,
    BackfillResponse,
    ScheduleBody,
    ScheduleSummary,
    ScheduleView,
    TriggerResponse,
)
from domain.audit import Caller
from domain.clock import now
from domain.schedules import RunKind, backfill_times
from domain.validation_issues import ValidationIssue, issue_at
from models.columns import new_id
from services.send_checks import find_schedule_issues
from storage import audit, recipients, schedule_occurrences, schedule_runs, schedules, tenants
from storage.schedule_runs import NewScheduleRun, build_backfill_run
from storage.schedules import StoredSchedule

router = APIRouter(route_class=AuthenticatedRoute, prefix="/schedules", tags=["schedules"])

MAX_LISTED_RUNS = 10
MAX_BACKFILL_TIMES = 100
UNKNOWN_RECIPIENT = "there is no such recipient; PUT it first"
UNKNOWN = "There is no schedule with this key."
PLANNING_IN_PROGRESS = "The schedule is being planned after a change; retry when its `planning` is null."
PLANNING_RETRY_AFTER = 5  # seconds


@router.put("/{key}", responses={201: {"model": ScheduleView, "description": "Created"}})
@scope("manage")
async def put_schedule(
    key: Key, body: ScheduleBody, caller: CallerDep, container: ContainerDep, response: Response
) -> ScheduleView:
    """Create or replace a schedule, checked like a send. If its times do not change, due runs stay due."""
    issues = await find_schedule_issues(container.catalog, container.renderer, caller, body.notification_type, body)
    async with container.database.transaction() as session:
        issues += _unknown_recipients(body, await recipients.lock_known(session, caller.tenant, body.named_recipients))
        if issues:
            raise invalid(*issues)
        former = await schedules.find(session, caller.tenant, key)
        row, created = await schedules.put(session, caller.tenant, key, body.notification_type, body.spec)
        await audit.record_change(
            session, caller.change("schedule.saved", _subject(key), _audited_values(former), _audited_values(row))
        )
        view = await _view(session, caller, row)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/schedules/{key}"
    return view


@router.get("/{key}")
@scope("read")
async def get_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> ScheduleView:
    """Return a schedule with its next occurrences and its last runs."""
    async with container.database.transaction() as session:
        return await _view(session, caller, await _get_schedule(session, caller.tenant, key))


@router.get("")
@scope("read")
async def list_schedules(caller: CallerDep, container: ContainerDep, paging: PagingDep) -> Page[ScheduleSummary]:
    """List all schedules, by key."""
    async with container.database.transaction() as session:
        rows = await schedules.list_page(session, caller.tenant, paging.after, paging.fetch_limit)
        zone = await tenants.read_timezone(session, caller.tenant)
    return paging.page(rows, lambda row: row.key, lambda row: schedule_views.schedule_summary(row, zone, now()))


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> None:
    """Delete a schedule. Notifications that it has accepted are still sent."""
    async with container.database.transaction() as session:
        former = await schedules.find(session, caller.tenant, key)
        if not await schedules.delete(session, caller.tenant, key):
            raise not_found(UNKNOWN)
        await audit.record_change(session, caller.change("schedule.deleted", _subject(key), _audited_values(former)))


@router.post("/{key}/pause")
@scope("manage")
async def pause_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> ScheduleView:
    """Pause a schedule. Occurrences during the pause are skipped; `backfill` can run them later."""
    async with container.database.transaction() as session:
        former = await _get_schedule(session, caller.tenant, key)
        row = _require(await schedules.pause(session, caller.tenant, key))
        await audit.record_change(
            session, caller.change("schedule.paused", _subject(key), _audited_values(former), _audited_values(row))
        )
        return await _view(session, caller, row)


@router.post("/{key}/resume")
@scope("manage")
async def resume_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> ScheduleView:
    """Resume a schedule. The next run is its next occurrence."""
    async with container.database.transaction() as session:
        former = await _get_schedule(session, caller.tenant, key)
        row = _require(await schedules.resume(session, caller.tenant, key))
        await audit.record_change(
            session, caller.change("schedule.resumed", _subject(key), _audited_values(former), _audited_values(row))
        )
        return await _view(session, caller, row)


@router.post("/{key}/trigger", status_code=202)
@scope("send")
async def trigger_schedule(key: Key, caller: CallerDep, container: ContainerDep) -> TriggerResponse:
    """Run a schedule now for all its recipients, also while it is paused or an earlier run is unfinished."""
    async with container.database.transaction() as session:
        schedule = (await _get_schedule(session, caller.tenant, key)).value(caller.tenant)
        run = NewScheduleRun(schedule=schedule, kind=RunKind.TRIGGER, due_at=now(), id=new_id(), is_finished=False)
        await schedule_runs.record_runs(session, [run])
        await audit.record_change(session, caller.change("schedule.triggered", _subject(key), None, {"run_id": run.id}))
    return TriggerResponse(run_id=run.id)


@router.post("/{key}/backfill", status_code=202, responses=problem_responses(409))
@scope("send")
async def backfill_schedule(
    key: Key, body: BackfillBody, caller: CallerDep, container: ContainerDep
) -> BackfillResponse:
    """Run every occurrence in the range (at most 100) by the current rule. Skip recipients that already had it."""
    if body.end > now():
        raise invalid(issue_at("/to", "must be in the past"))
    async with container.database.transaction() as session:
        schedule = (await _get_schedule(session, caller.tenant, key)).value(caller.tenant)
        if await schedules.find_progress(session, schedule.id):
            raise conflict(PLANNING_IN_PROGRESS, retry_after=PLANNING_RETRY_AFTER)
        zones = await schedule_occurrences.list_timezones(session, schedule.id)
        times = backfill_times(schedule.rule, zones, body.start, body.end, MAX_BACKFILL_TIMES)
        if len(times) > MAX_BACKFILL_TIMES:
            raise invalid(
                issue_at("/from", f"gives more than {MAX_BACKFILL_TIMES} occurrences; request a shorter range")
            )
        await schedule_runs.record_runs(session, [build_backfill_run(schedule, due_at) for due_at in times])
        audited_request = {"from": body.start, "to": body.end, "times": len(times)}
        await audit.record_change(session, caller.change("schedule.backfilled", _subject(key), None, audited_request))
    return BackfillResponse(times=times)


async def _get_schedule(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule:
    return _require(await schedules.find(session, tenant, key))


def _subject(key: str) -> str:
    return f"schedule/{key}"


def _audited_values(row: StoredSchedule | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"notification_type": row.notification_type, "paused": row.paused_at is not None, **row.spec}


def _require(row: StoredSchedule | None) -> StoredSchedule:
    if row is None:
        raise not_found(UNKNOWN)
    return row


async def _view(session: AsyncSession, caller: Caller, row: StoredSchedule) -> ScheduleView:
    zone = await tenants.read_timezone(session, caller.tenant)
    runs = await schedule_runs.list_latest(session, row.id, MAX_LISTED_RUNS)
    return schedule_views.schedule_view(row, zone, now(), runs, await schedules.find_progress(session, row.id))


def _unknown_recipients(body: ScheduleBody, known: set[str]) -> list[ValidationIssue]:
    if body.recipient_id is not None:
        return [] if body.recipient_id in known else [issue_at("/recipient_id", UNKNOWN_RECIPIENT)]
    unknown_indexes = (index for index, recipient in enumerate(body.recipients or []) if recipient not in known)
    return [issue_at(f"/recipients/{index}", UNKNOWN_RECIPIENT) for index in unknown_indexes]
