"""Create, change, pause and delete recurring sends. `schedule_plans.py` plans their occurrences, `schedule_runs.py`
records their runs. Recipient ids are stored in the spec only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain import schedules as domain
from domain.json_types import JsonObject
from domain.schedules import has_same_occurrences, has_same_times
from models.columns import new_id
from storage import schedule_plans, ticks
from storage.database import to_json
from storage.rows import decoded
from storage.schedule_plans import PlanTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSchedule:
    """`spec` is what the caller gave."""

    id: UUID
    key: str
    notification_type: str
    spec: JsonObject
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def value(self, tenant: UUID) -> domain.ScheduleDefinition:
        return domain.schedule_of(self.id, tenant, self.notification_type, self.spec)


COLUMNS = "id, key, notification_type, spec, paused_at, created_at, updated_at"
IS_CURRENT = "tenant = :tenant AND key = :key AND deleted_at IS NULL"

SELECT_SCHEDULE = text(f"SELECT {COLUMNS} FROM schedule WHERE {IS_CURRENT}")  # noqa: S608 - constants of our own
SELECT_PAGE = text(f"""
SELECT {COLUMNS} FROM schedule WHERE tenant = :tenant AND deleted_at IS NULL AND key > :after ORDER BY key LIMIT :limit
""")  # noqa: S608
INSERT_SCHEDULE = text(f"""
INSERT INTO schedule (id, tenant, key, notification_type, spec, created_at, updated_at)
VALUES (:id, :tenant, :key, :type, CAST(:spec AS jsonb), now(), now()) RETURNING {COLUMNS}
""")  # noqa: S608
UPDATE_SCHEDULE = text(f"""
UPDATE schedule SET notification_type = :type, spec = CAST(:spec AS jsonb), updated_at = now() WHERE id = :id
RETURNING {COLUMNS}
""")  # noqa: S608
SET_PAUSED = text(f"""
UPDATE schedule SET paused_at = CASE WHEN :paused THEN COALESCE(paused_at, now()) END, updated_at = now()
 WHERE {IS_CURRENT} RETURNING {COLUMNS}
""")  # noqa: S608
DELETE_SCHEDULE = text(f"""
UPDATE schedule SET deleted_at = now(), spec = spec - CAST('{{payload,recipients,recipient_id}}' AS text[])
 WHERE {IS_CURRENT}
""")  # noqa: S608


async def find(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule | None:
    row = (await session.execute(SELECT_SCHEDULE, {"tenant": tenant, "key": key})).mappings().one_or_none()
    return None if row is None else _schedule_of(row)


async def list_page(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[StoredSchedule]:
    """By key, those after the key `after`."""
    values = {"tenant": tenant, "after": after or "", "limit": limit}
    return [_schedule_of(row) for row in (await session.execute(SELECT_PAGE, values)).mappings()]


async def put(
    session: AsyncSession, tenant: UUID, key: str, notification_type: str, spec: JsonObject
) -> tuple[StoredSchedule, bool]:
    """Exactly this from now on; True if it is new. As long as its times stay the same, what is due stays due."""
    await schedule_plans.lock_schedule(session, tenant, key)
    existing = await find(session, tenant, key)
    id = new_id() if existing is None else existing.id
    requested = domain.schedule_of(id, tenant, notification_type, spec)
    target = PlanTarget(
        id=id, tenant=tenant, schedule=requested, paused=existing is not None and existing.paused_at is not None
    )
    former = None if existing is None else existing.value(tenant)
    batch = await schedule_plans.lock_batch(session, target, former)
    parameters = {"id": id, "type": notification_type, "spec": to_json(spec)}
    if existing is None:
        result = await session.execute(INSERT_SCHEDULE, {"tenant": tenant, "key": key, **parameters})
    else:
        result = await session.execute(UPDATE_SCHEDULE, parameters)
    has_new_times = existing is None or not has_same_times(existing.spec, spec)
    if has_new_times or former is None or not has_same_occurrences(former, requested):
        await schedule_plans.begin_plan(session, target, batch, replan_all=has_new_times)
    for type_key in sorted({notification_type, existing.notification_type if existing else notification_type}):
        await ticks.update_tick(session, tenant, type_key)
    return _schedule_of(result.mappings().one()), existing is None


async def pause(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule | None:
    """Pause a schedule, or return None for an unknown key. Current runs continue; occurrences of the pause are lost."""
    return await _set_paused(session, tenant, key, paused=True)


async def resume(session: AsyncSession, tenant: UUID, key: str) -> StoredSchedule | None:
    """Due from now on."""
    return await _set_paused(session, tenant, key, paused=False)


async def _set_paused(session: AsyncSession, tenant: UUID, key: str, *, paused: bool) -> StoredSchedule | None:
    await schedule_plans.lock_schedule(session, tenant, key)
    existing = await find(session, tenant, key)
    if existing is None or (existing.paused_at is not None) == paused:
        return existing
    target = PlanTarget(id=existing.id, tenant=tenant, schedule=existing.value(tenant), paused=paused)
    batch = await schedule_plans.lock_batch(session, target)
    paused_rows = await session.execute(SET_PAUSED, {"tenant": tenant, "key": key, "paused": paused})
    await schedule_plans.begin_plan(session, target, batch, replan_all=True)
    await ticks.update_tick(session, tenant, existing.notification_type)
    return _schedule_of(paused_rows.mappings().one())


async def delete(session: AsyncSession, tenant: UUID, key: str) -> bool:
    """False if there is none. What it has accepted is sent; its payload and people are forgotten."""
    await schedule_plans.lock_schedule(session, tenant, key)
    existing = await find(session, tenant, key)
    if existing is None:
        return False
    target = PlanTarget(id=existing.id, tenant=tenant, schedule=None)
    batch = await schedule_plans.lock_batch(session, target, existing.value(tenant))
    await session.execute(DELETE_SCHEDULE, {"tenant": tenant, "key": key})
    await schedule_plans.begin_plan(session, target, batch, replan_all=True)
    await ticks.update_tick(session, tenant, existing.notification_type)
    return True


def _schedule_of(row: Any) -> StoredSchedule:
    return StoredSchedule(**{**row, "spec": decoded(row["spec"])})
