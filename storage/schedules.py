"""Recurring sends as they are kept: made, changed, paused, deleted. Their turns are planned by `schedule_plans.py`,
what became of them is in `schedule_runs.py`. The payload is sealed; ids of people stand in the spec and nowhere
else."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain import schedules as domain
from domain.schedules import same_times, same_turns
from models.columns import new_id
from storage import schedule_plans, ticks
from storage.database import to_json
from storage.rows import Json, decoded
from storage.schedule_plans import Target
from storage.sealing import seal, unseal


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """`spec` is what the caller gave."""

    id: UUID
    key: str
    notification_type: str
    spec: Json
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def value(self, tenant: UUID) -> domain.Schedule:
        return domain.schedule_of(self.id, tenant, self.notification_type, self.spec)


COLUMNS = "id, key, notification_type, spec, paused_at, created_at, updated_at"
STANDING = "tenant = :tenant AND key = :key AND deleted_at IS NULL"

FIND = text(f"SELECT {COLUMNS} FROM schedule WHERE {STANDING}")  # noqa: S608 - constants of our own
LISTED = text(f"""
SELECT {COLUMNS} FROM schedule WHERE tenant = :tenant AND deleted_at IS NULL AND key > :after ORDER BY key LIMIT :limit
""")  # noqa: S608
INSERT = text(f"""
INSERT INTO schedule (id, tenant, key, notification_type, spec, created_at, updated_at)
VALUES (:id, :tenant, :key, :type, CAST(:spec AS jsonb), now(), now()) RETURNING {COLUMNS}
""")  # noqa: S608
UPDATE = text(f"""
UPDATE schedule SET notification_type = :type, spec = CAST(:spec AS jsonb), updated_at = now() WHERE id = :id
RETURNING {COLUMNS}
""")  # noqa: S608
PAUSE = text(f"""
UPDATE schedule SET paused_at = CASE WHEN :paused THEN COALESCE(paused_at, now()) END, updated_at = now()
 WHERE {STANDING} RETURNING {COLUMNS}
""")  # noqa: S608
DELETE = text(f"""
UPDATE schedule SET deleted_at = now(), spec = spec - CAST('{{payload,recipients,recipient_id}}' AS text[])
 WHERE {STANDING}
""")  # noqa: S608


async def find(session: AsyncSession, tenant: UUID, key: str) -> Schedule | None:
    row = (await session.execute(FIND, {"tenant": tenant, "key": key})).mappings().one_or_none()
    return None if row is None else _schedule(row)


async def listed(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[Schedule]:
    """By key, those after the key `after`."""
    values = {"tenant": tenant, "after": after or "", "limit": limit}
    return [_schedule(row) for row in (await session.execute(LISTED, values)).mappings()]


async def put(
    session: AsyncSession, tenant: UUID, key: str, notification_type: str, spec: Json
) -> tuple[Schedule, bool]:
    """Exactly this from now on; True if it is new. As long as its times stay the same, what is due stays due."""
    await schedule_plans.lock_schedule(session, tenant, key)
    known = await find(session, tenant, key)
    id = new_id() if known is None else known.id
    wanted = domain.schedule_of(id, tenant, notification_type, spec)
    target = Target(id=id, tenant=tenant, schedule=wanted, paused=known is not None and known.paused_at is not None)
    former = None if known is None else known.value(tenant)
    batch = await schedule_plans.hold(session, target, former)
    given = {"id": id, "type": notification_type, "spec": to_json({**spec, "payload": seal(spec["payload"])})}
    if known is None:
        written = await session.execute(INSERT, {"tenant": tenant, "key": key, **given})
    else:
        written = await session.execute(UPDATE, given)
    again = known is None or not same_times(known.spec, spec)
    if again or former is None or not same_turns(former, wanted):
        await schedule_plans.begin(session, target, batch, again=again)
    for type_key in sorted({notification_type, known.notification_type if known else notification_type}):
        await ticks.want(session, tenant, type_key)
    return _schedule(written.mappings().one()), known is None


async def pause(session: AsyncSession, tenant: UUID, key: str) -> Schedule | None:
    """None for an unknown one. What is being sent goes on; times that come while it is paused are not its times."""
    return await _paused(session, tenant, key, paused=True)


async def resume(session: AsyncSession, tenant: UUID, key: str) -> Schedule | None:
    """Due from now on."""
    return await _paused(session, tenant, key, paused=False)


async def _paused(session: AsyncSession, tenant: UUID, key: str, *, paused: bool) -> Schedule | None:
    await schedule_plans.lock_schedule(session, tenant, key)
    known = await find(session, tenant, key)
    if known is None or (known.paused_at is not None) == paused:
        return known
    target = Target(id=known.id, tenant=tenant, schedule=known.value(tenant), paused=paused)
    batch = await schedule_plans.hold(session, target)
    changed = await session.execute(PAUSE, {"tenant": tenant, "key": key, "paused": paused})
    await schedule_plans.begin(session, target, batch, again=True)
    await ticks.want(session, tenant, known.notification_type)
    return _schedule(changed.mappings().one())


async def delete(session: AsyncSession, tenant: UUID, key: str) -> bool:
    """False if there is none. What it has accepted is sent; its payload and people are forgotten."""
    await schedule_plans.lock_schedule(session, tenant, key)
    known = await find(session, tenant, key)
    if known is None:
        return False
    target = Target(id=known.id, tenant=tenant, schedule=None)
    batch = await schedule_plans.hold(session, target, known.value(tenant))
    await session.execute(DELETE, {"tenant": tenant, "key": key})
    await schedule_plans.begin(session, target, batch, again=True)
    await ticks.want(session, tenant, known.notification_type)
    return True


def _schedule(row: Any) -> Schedule:
    spec = decoded(row["spec"])
    return Schedule(**{**row, "spec": {**spec, "payload": unseal(spec["payload"])}})
