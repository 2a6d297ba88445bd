"""Recurring sends: what, to whom, and when. The dispatcher and the ticks of their types run them."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import auditing, scheduling
from api.callers import Caller, CallerDep
from api.front_door import FrontDoor, scope
from api.openapi import answers
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import at, conflict, invalid, not_found
from api.schemas.base import Key
from api.schemas.schedules import (
    BackfillBody,
    Backfilled,
    ScheduleBody,
    ScheduleSummary,
    ScheduleView,
    Triggered,
)
from domain.clock import now
from domain.schedules import RunKind, backfill_times
from models.columns import new_id
from storage import recipients, schedule_plans, schedule_runs, schedule_turns, schedules
from storage.schedule_runs import NewRun, backfill_run
from storage.schedules import Schedule

router = APIRouter(route_class=FrontDoor, prefix="/schedules", tags=["schedules"])

LAST_RUNS = 10
MOST_TIMES = 100
UNKNOWN = "There is no schedule with this key."
PLANNING = "The schedule is being planned after a change; repeat the request when its `planning` is null."
PLANNING_RETRY_AFTER = 5  # seconds


@router.put("/{key}", responses={201: {"model": ScheduleView, "description": "Created"}})
@scope("manage")
async def put_schedule(
    key: Key, body: ScheduleBody, caller: CallerDep, parts: PartsDep, response: Response
) -> ScheduleView:
    """Exactly this from now on. Checked like a send; as long as its times stay the same, what is due stays due."""
    faults = await scheduling.faults(parts, caller, body)
    async with parts.database.transaction() as session:
        faults += scheduling.unknown_people(body, await recipients.known(session, caller.tenant, body.people))
        if faults:
            raise invalid(*faults)
        former = await schedules.find(session, caller.tenant, key)
        row, created = await schedules.put(session, caller.tenant, key, body.notification_type, body.spec)
        await auditing.note(session, caller, "schedule.saved", _subject(key), _audited(former), _audited(row))
        view = await _view(session, caller, row)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/schedules/{key}"
    return view


@router.get("/{key}")
@scope("read")
async def get_schedule(key: Key, caller: CallerDep, parts: PartsDep) -> ScheduleView:
    """With its next times, and what became of the last ones."""
    async with parts.database.transaction() as session:
        return await _view(session, caller, await _known(session, caller.tenant, key))


@router.get("")
@scope("read")
async def list_schedules(caller: CallerDep, parts: PartsDep, paging: PagingDep) -> Page[ScheduleSummary]:
    """All of them, by key."""
    async with parts.database.transaction() as session:
        rows = await schedules.listed(session, caller.tenant, paging.after, paging.fetch)
        zone = await recipients.zone_of_all(session, caller.tenant)
    return paging.page(rows, lambda row: row.key, lambda row: scheduling.summary(row, zone, now()))


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_schedule(key: Key, caller: CallerDep, parts: PartsDep) -> None:
    """Never due again. What it has accepted is still sent."""
    async with parts.database.transaction() as session:
        former = await schedules.find(session, caller.tenant, key)
        if not await schedules.delete(session, caller.tenant, key):
            raise not_found(UNKNOWN)
        await auditing.note(session, caller, "schedule.deleted", _subject(key), _audited(former))


@router.post("/{key}/pause")
@scope("manage")
async def pause_schedule(key: Key, caller: CallerDep, parts: PartsDep) -> ScheduleView:
    """Times that come while it is paused are left out; `backfill` can fill them in afterwards."""
    async with parts.database.transaction() as session:
        former = await _known(session, caller.tenant, key)
        row = _found(await schedules.pause(session, caller.tenant, key))
        await auditing.note(session, caller, "schedule.paused", _subject(key), _audited(former), _audited(row))
        return await _view(session, caller, row)


@router.post("/{key}/resume")
@scope("manage")
async def resume_schedule(key: Key, caller: CallerDep, parts: PartsDep) -> ScheduleView:
    """Due again from its next time on."""
    async with parts.database.transaction() as session:
        former = await _known(session, caller.tenant, key)
        row = _found(await schedules.resume(session, caller.tenant, key))
        await auditing.note(session, caller, "schedule.resumed", _subject(key), _audited(former), _audited(row))
        return await _view(session, caller, row)


@router.post("/{key}/trigger", status_code=202)
@scope("send")
async def trigger_schedule(key: Key, caller: CallerDep, parts: PartsDep) -> Triggered:
    """Once more, now, to everybody; also while it is paused, and whatever is still on its way."""
    async with parts.database.transaction() as session:
        schedule = (await _known(session, caller.tenant, key)).value(caller.tenant)
        run = NewRun(schedule=schedule, kind=RunKind.TRIGGER, due_at=now(), id=new_id(), finished=False)
        await schedule_runs.tell(session, [run])
        await auditing.note(session, caller, "schedule.triggered", _subject(key), None, {"run_id": run.id})
    return Triggered(run_id=run.id)


@router.post("/{key}/backfill", status_code=202, responses=answers(409))
@scope("send")
async def backfill_schedule(key: Key, body: BackfillBody, caller: CallerDep, parts: PartsDep) -> Backfilled:
    """Each of its times in the range, by the rule as it is now, at most 100; for whoever has not had that time yet."""
    if body.end > now():
        raise invalid(at("/to", "must have passed"))
    async with parts.database.transaction() as session:
        schedule = (await _known(session, caller.tenant, key)).value(caller.tenant)
        if await schedule_plans.find(session, schedule.id):
            raise conflict(PLANNING, retry_after=PLANNING_RETRY_AFTER)
        zones = await schedule_turns.zones(session, schedule.id)
        times = backfill_times(schedule.rule, zones, body.start, body.end, MOST_TIMES)
        if len(times) > MOST_TIMES:
            raise invalid(at("/from", f"makes more than {MOST_TIMES} times; ask for a shorter range"))
        await schedule_runs.tell(session, [backfill_run(schedule, at) for at in times])
        asked = {"from": body.start, "to": body.end, "times": len(times)}
        await auditing.note(session, caller, "schedule.backfilled", _subject(key), None, asked)
    return Backfilled(times=times)


async def _known(session: AsyncSession, tenant: UUID, key: str) -> Schedule:
    return _found(await schedules.find(session, tenant, key))


def _subject(key: str) -> str:
    return f"schedule/{key}"


def _audited(row: Schedule | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"notification_type": row.notification_type, "paused": row.paused_at is not None, **row.spec}


def _found(row: Schedule | None) -> Schedule:
    if row is None:
        raise not_found(UNKNOWN)
    return row


async def _view(session: AsyncSession, caller: Caller, row: Schedule) -> ScheduleView:
    zone = await recipients.zone_of_all(session, caller.tenant)
    runs = await schedule_runs.last(session, row.id, LAST_RUNS)
    return scheduling.view(row, zone, now(), runs, await schedule_plans.find(session, row.id))
