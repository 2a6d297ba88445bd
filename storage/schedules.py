"""Create, change, pause and delete recurring sends, and plan their occurrences. Recipient ids are stored in the spec
only.

A change plans the occurrences of the first recipients; `dispatch/large_changes.py` plans the others in batches. The
cursor moves in the transaction of its batch, and another process continues after it. Occurrences after the cursor are
not due yet. All are computed from the time of the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain import schedules as domain
from domain.clock import now
from domain.json_types import Json
from domain.names import DISPATCH_CHANNEL, PLANS_DUE
from domain.schedules import ALL_RECIPIENTS, ScheduleDefinition, has_same_occurrences, has_same_times, schedule_of
from models.columns import new_id
from storage import recipients, schedule_occurrences, ticks
from storage.database import to_json
from storage.schedule_occurrences import OccurrenceScope, PlanTarget, topic_lock_name
from storage.statements import Executor, decoded, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSchedule:
    """Hold a schedule. `spec` is the caller's specification."""

    id: UUID
    key: str
    notification_type: str
    spec: Json
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def value(self, tenant: UUID) -> domain.ScheduleDefinition:
        return domain.schedule_of(self.id, tenant, self.notification_type, self.spec)


SELECT_SCHEDULE = statement("schedules/select_schedule")
SELECT_PAGE = statement("schedules/select_page")
INSERT_SCHEDULE = statement("schedules/insert_schedule")
UPDATE_SCHEDULE = statement("schedules/update_schedule")
SET_PAUSED = statement("schedules/set_paused")
DELETE_SCHEDULE = statement("schedules/delete_schedule")
LOCK_SCHEDULE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
# The recipients to plan, and those whose occurrence may have to be deleted. Without erased recipients.
NEXT_RECIPIENTS = statement("schedules/next_recipients")
HAS_OVERDUE = statement("schedules/has_overdue")
SELECT_PROGRESS = text("SELECT since, replans_all, planned_count FROM schedule_plan WHERE schedule_id = :id")
SELECT_NEXT_PLAN = statement("schedules/select_next_plan")
READ_PLAN = statement("schedules/read_plan")
SAVE_PROGRESS = statement("schedules/save_progress")
DELETE_PLAN = text("DELETE FROM schedule_plan WHERE schedule_id = :id")


async def find(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule | None:
    row = (await session.execute(SELECT_SCHEDULE, {"tenant": tenant, "key": key})).mappings().one_or_none()
    return None if row is None else _schedule_of(row)


async def list_page(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[StoredSchedule]:
    """Return the schedules after the key `after`, by key."""
    values = {"tenant": tenant, "after": after or "", "limit": limit}
    return [_schedule_of(row) for row in (await session.execute(SELECT_PAGE, values)).mappings()]


async def put(
    session: AsyncSession, tenant: UUID, key: str, notification_type: str, spec: Json
) -> tuple[StoredSchedule, bool]:
    """Create or replace a schedule; return True if it is new. Due occurrences stay due unless its times change."""
    await lock_schedule(session, tenant, key)
    existing = await find(session, tenant, key)
    id = new_id() if existing is None else existing.id
    requested = domain.schedule_of(id, tenant, notification_type, spec)
    target = PlanTarget(
        id=id, tenant=tenant, schedule=requested, paused=existing is not None and existing.paused_at is not None
    )
    former = None if existing is None else existing.value(tenant)
    batch = await lock_batch(session, target, former)
    parameters = {"id": id, "type": notification_type, "spec": to_json(spec)}
    if existing is None:
        result = await session.execute(INSERT_SCHEDULE, {"tenant": tenant, "key": key, **parameters})
    else:
        result = await session.execute(UPDATE_SCHEDULE, parameters)
    has_new_times = existing is None or not has_same_times(existing.spec, spec)
    if has_new_times or former is None or not has_same_occurrences(former, requested):
        await begin_plan(session, target, batch, replan_all=has_new_times)
    for type_key in sorted({notification_type, existing.notification_type if existing else notification_type}):
        await ticks.update_tick(session, tenant, type_key)
    return _schedule_of(result.mappings().one()), existing is None


async def pause(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule | None:
    """Pause a schedule, or return None for an unknown key. Current runs continue; occurrences of the pause are lost."""
    return await _set_paused(session, tenant, key, paused=True)


async def resume(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule | None:
    """Resume a paused schedule, or return None for an unknown key. Occurrences are computed from now on."""
    return await _set_paused(session, tenant, key, paused=False)


async def _set_paused(session: AsyncSession, tenant: UUID, key: str, *, paused: bool) -> StoredSchedule | None:
    await lock_schedule(session, tenant, key)
    existing = await find(session, tenant, key)
    if existing is None or (existing.paused_at is not None) == paused:
        return existing
    target = PlanTarget(id=existing.id, tenant=tenant, schedule=existing.value(tenant), paused=paused)
    batch = await lock_batch(session, target)
    paused_rows = await session.execute(SET_PAUSED, {"tenant": tenant, "key": key, "paused": paused})
    await begin_plan(session, target, batch, replan_all=True)
    await ticks.update_tick(session, tenant, existing.notification_type)
    return _schedule_of(paused_rows.mappings().one())


async def delete(session: AsyncSession, tenant: UUID, key: str) -> bool:
    """Delete the payload and the recipients of a schedule. Return False for an unknown key. Accepted sends continue."""
    await lock_schedule(session, tenant, key)
    existing = await find(session, tenant, key)
    if existing is None:
        return False
    target = PlanTarget(id=existing.id, tenant=tenant, schedule=None)
    batch = await lock_batch(session, target, existing.value(tenant))
    await session.execute(DELETE_SCHEDULE, {"tenant": tenant, "key": key})
    await begin_plan(session, target, batch, replan_all=True)
    await ticks.update_tick(session, tenant, existing.notification_type)
    return True


def _schedule_of(row: Any) -> StoredSchedule:
    return StoredSchedule(**{**row, "spec": decoded(row["spec"])})


BATCH_SIZE = 500  # recipients


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanProgress:
    """Describe a plan in progress: when it began, and how many recipients are planned."""

    since: datetime
    replans_all: bool
    planned_count: int

    @property
    def scope(self) -> OccurrenceScope:
        return OccurrenceScope.ALL if self.replans_all else OccurrenceScope.NEW


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBatch:
    """Hold the result of a batch. `has_overdue`: an occurrence became due before it was planned, after the tick that
    ran the others."""

    tenant: UUID
    notification_type: str
    has_overdue: bool


async def lock_schedule(session: AsyncSession, tenant: UUID, key: str) -> None:
    """Block other changes and plans of the schedule until the transaction ends."""
    await session.execute(LOCK_SCHEDULE, {"name": f"schedule:{tenant}:{key}"})


async def lock_batch(
    session: AsyncSession, target: PlanTarget, former: ScheduleDefinition | None = None, after: str = ""
) -> list[str]:
    """Lock the topics of the schedule, and the next recipients; return these. Before its row is written, because an
    erasure locks the recipient first. Block subscribing and unsubscribing until the transaction ends."""
    per_recipient = [
        definition for definition in (former, target.schedule) if definition is not None and definition.is_per_recipient
    ]
    for topic in sorted({definition.topic for definition in per_recipient if definition.topic is not None}):
        await session.execute(LOCK_SCHEDULE, {"name": topic_lock_name(target.tenant, topic)})
    values = target.recipient_values | {"after": after, "limit": BATCH_SIZE}
    batch = list((await session.execute(NEXT_RECIPIENTS, values)).scalars())
    await recipients.lock_known(session, target.tenant, batch)
    return batch


async def begin_plan(session: AsyncSession, target: PlanTarget, batch: Sequence[str], *, replan_all: bool) -> None:
    """Begin to plan the occurrences: all of them with `replan_all`, otherwise those of new recipients. `batch` are the
    first recipients, which are locked (`lock_batch`). A plan in progress restarts and still computes what it had to."""
    progress = await find_progress(session, target.id)
    if progress is None or replan_all:
        progress = PlanProgress(since=now(), replans_all=replan_all, planned_count=0)
    await schedule_occurrences.plan(session, target, [ALL_RECIPIENTS, *batch], progress.since, progress.scope)
    await _save_progress(session, target, batch, progress, planned_count=len(batch))


async def find_progress(session: Executor, schedule_id: UUID) -> PlanProgress | None:
    """Return the progress of a plan, or None if all occurrences of the schedule are planned."""
    row = (await session.execute(SELECT_PROGRESS, {"id": schedule_id})).mappings().one_or_none()
    return None if row is None else PlanProgress(**row)


async def plan_next_batch(session: AsyncSession) -> PlannedBatch | None:
    """Plan the next batch of the schedule that was served longest ago. None if there is none."""
    found = (await session.execute(SELECT_NEXT_PLAN)).mappings().one_or_none()
    if found is None:
        return None
    await lock_schedule(session, found["tenant"], found["key"])
    row = (await session.execute(READ_PLAN, {"id": found["id"]})).mappings().one_or_none()
    if row is None:  # another process has finished it in between
        return PlannedBatch(tenant=found["tenant"], notification_type="", has_overdue=False)
    target = _target_of(found["id"], found["tenant"], row)
    batch = await lock_batch(session, target, after=row["after"])
    progress = PlanProgress(since=row["since"], replans_all=row["replans_all"], planned_count=row["planned_count"])
    await schedule_occurrences.plan(session, target, batch, progress.since, progress.scope)
    await _save_progress(session, target, batch, progress, planned_count=row["planned_count"] + len(batch))
    await ticks.update_tick(session, target.tenant, row["notification_type"])
    has_overdue = bool((await session.execute(HAS_OVERDUE, {"id": target.id, "batch": batch})).scalar_one())
    return PlannedBatch(tenant=target.tenant, notification_type=row["notification_type"], has_overdue=has_overdue)


async def _save_progress(
    session: AsyncSession, target: PlanTarget, batch: Sequence[str], progress: PlanProgress, *, planned_count: int
) -> None:
    if len(batch) < BATCH_SIZE:
        await session.execute(DELETE_PLAN, {"id": target.id})
        return
    values = {
        "id": target.id,
        "after": batch[-1],
        "planned_count": planned_count,
        "since": progress.since,
        "replans_all": progress.replans_all,
    }
    await session.execute(SAVE_PROGRESS, {**values, "channel": DISPATCH_CHANNEL, "due": PLANS_DUE})


def _target_of(id: UUID, tenant: UUID, row: Any) -> PlanTarget:
    if row["deleted_at"] is not None:
        return PlanTarget(id=id, tenant=tenant, schedule=None)
    schedule = schedule_of(id, tenant, row["notification_type"], decoded(row["spec"]))
    return PlanTarget(id=id, tenant=tenant, schedule=schedule, paused=row["paused_at"] is not None)
