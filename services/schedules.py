"""Save, delete, pause, resume, trigger and backfill schedules, each with its audit entry. Called by the routes of
schedules. A function returns None if the tenant has no schedule with the key."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Caller
from domain.channels import Channel
from domain.clock import now
from domain.json_types import Json
from domain.schedules import RunKind, backfill_times
from domain.validation_issues import InvalidInput, issue_at, raise_issues
from models.columns import new_id
from rendering.renderer import Renderer
from services.send_checks import find_schedule_issues
from storage import audit, recipients, schedule_occurrences, schedule_runs, schedules, tenants
from storage.catalog import Catalog
from storage.database import Database
from storage.schedule_runs import NewScheduleRun, ScheduleRunResult, build_backfill_run
from storage.schedules import PlanProgress, StoredSchedule

MAX_LISTED_RUNS = 10
MAX_BACKFILL_TIMES = 100
UNKNOWN_RECIPIENT = "there is no such recipient; PUT it first"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleCommand:
    """A schedule to save. `named_recipients` maps the position of each id in the body to the id."""

    notification_type: str
    channels: Sequence[Channel] | None
    payload: Json
    named_recipients: Mapping[str, str]
    spec: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleState:
    """A schedule with its last runs and, while its occurrences are being planned, the progress."""

    row: StoredSchedule
    tenant_timezone: str
    runs: Sequence[ScheduleRunResult]
    planning: PlanProgress | None


class PlanningInProgress(Exception):
    """Report that the occurrences of the schedule are being planned after a change."""


async def save(
    database: Database, catalog: Catalog, renderer: Renderer, caller: Caller, key: str, command: ScheduleCommand
) -> tuple[ScheduleState, bool]:
    """Create or replace a schedule; return True if it is new. Raise InvalidInput for issues that its sends would
    have."""
    issues = await find_schedule_issues(catalog, renderer, caller, command.notification_type, command)
    async with database.transaction() as session:
        known = await recipients.lock_known(session, caller.tenant, list(command.named_recipients.values()))
        unknown = [pointer for pointer, recipient in command.named_recipients.items() if recipient not in known]
        raise_issues([*issues, *(issue_at(pointer, UNKNOWN_RECIPIENT) for pointer in unknown)])
        former = await schedules.find(session, caller.tenant, key)
        row, is_new = await schedules.put(session, caller.tenant, key, command.notification_type, command.spec)
        await _record_change(session, caller, "schedule.saved", key, _audited_values(former), _audited_values(row))
        return await _read_state(session, caller.tenant, row), is_new


async def read(database: Database, tenant: UUID, key: str) -> ScheduleState | None:
    async with database.transaction() as session:
        row = await schedules.find(session, tenant, key)
        return None if row is None else await _read_state(session, tenant, row)


async def delete(database: Database, caller: Caller, key: str) -> bool:
    """Return False for an unknown key."""
    async with database.transaction() as session:
        former = await schedules.find(session, caller.tenant, key)
        if not await schedules.delete(session, caller.tenant, key):
            return False
        await _record_change(session, caller, "schedule.deleted", key, _audited_values(former), None)
    return True


async def pause(database: Database, caller: Caller, key: str) -> ScheduleState | None:
    return await _set_paused(database, caller, key, schedules.pause, "schedule.paused")


async def resume(database: Database, caller: Caller, key: str) -> ScheduleState | None:
    return await _set_paused(database, caller, key, schedules.resume, "schedule.resumed")


async def trigger(database: Database, caller: Caller, key: str) -> UUID | None:
    """Return the id of the run."""
    async with database.transaction() as session:
        row = await schedules.find(session, caller.tenant, key)
        if row is None:
            return None
        schedule = row.value(caller.tenant)
        run = NewScheduleRun(schedule=schedule, kind=RunKind.TRIGGER, due_at=now(), id=new_id(), is_finished=False)
        await schedule_runs.record_runs(session, [run])
        await _record_change(session, caller, "schedule.triggered", key, None, {"run_id": run.id})
    return run.id


async def backfill(
    database: Database, caller: Caller, key: str, start: datetime, end: datetime
) -> list[datetime] | None:
    """Return the times to run. Raise PlanningInProgress, or InvalidInput for too many."""
    async with database.transaction() as session:
        row = await schedules.find(session, caller.tenant, key)
        if row is None:
            return None
        schedule = row.value(caller.tenant)
        if await schedules.find_progress(session, schedule.id):
            raise PlanningInProgress
        zones = await schedule_occurrences.list_timezones(session, schedule.id)
        times = backfill_times(schedule.rule, zones, start, end, MAX_BACKFILL_TIMES)
        if len(times) > MAX_BACKFILL_TIMES:
            detail = f"gives more than {MAX_BACKFILL_TIMES} occurrences; request a shorter range"
            raise InvalidInput(issue_at("/from", detail))
        await schedule_runs.record_runs(session, [build_backfill_run(schedule, due_at) for due_at in times])
        audited_request = {"from": start, "to": end, "times": len(times)}
        await _record_change(session, caller, "schedule.backfilled", key, None, audited_request)
    return times


async def _set_paused(
    database: Database,
    caller: Caller,
    key: str,
    change: Callable[[AsyncSession, UUID, str], Awaitable[StoredSchedule | None]],
    action: str,
) -> ScheduleState | None:
    async with database.transaction() as session:
        former = await schedules.find(session, caller.tenant, key)
        row = None if former is None else await change(session, caller.tenant, key)
        if row is None:
            return None
        await _record_change(session, caller, action, key, _audited_values(former), _audited_values(row))
        return await _read_state(session, caller.tenant, row)


async def _read_state(session: AsyncSession, tenant: UUID, row: StoredSchedule) -> ScheduleState:
    return ScheduleState(
        row=row,
        tenant_timezone=await tenants.read_timezone(session, tenant),
        runs=await schedule_runs.list_latest(session, row.id, MAX_LISTED_RUNS),
        planning=await schedules.find_progress(session, row.id),
    )


async def _record_change(
    session: AsyncSession, caller: Caller, action: str, key: str, before: Json | None, after: Json | None
) -> None:
    await audit.record_change(session, caller.change(action, f"schedule/{key}", before, after))


def _audited_values(row: StoredSchedule | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"notification_type": row.notification_type, "paused": row.paused_at is not None, **row.spec}
