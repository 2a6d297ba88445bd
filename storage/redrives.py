"""Redrives: reads who may be sent again under the rows' locks, and writes their new generation. Called by their routes.

A redriven row is due for the dispatcher; its workflow makes the new deliveries, and its guard knows the old ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, derived_id
from domain.redrives import RedriveCandidate
from domain.statuses import NotificationStatus
from storage.database import to_json
from storage.dead_letters import NotificationFilter, build_conditions, build_id_query, filter_values
from storage.recipients import IS_ERASED

MIN_ID = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RedriveTarget:
    """Identify a notification to redrive. `revision` fences the write, so that it is redriven once."""

    id: UUID
    revision: int
    generation: int
    priority: int
    candidate: RedriveCandidate


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRedrive:
    """`delay` in seconds, from now until it may start."""

    target: RedriveTarget
    delay: float = 0.0


TARGET_COLUMNS = f"""n.id, n.revision, n.generation, n.priority, n.status, n.finished_at, n.expires_at,
{IS_ERASED} AS erased,
  n.content_removed_at IS NOT NULL AS emptied"""

WRITE_GENERATIONS = text("""
WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x(
    id uuid, revision int, event_id uuid, delay float8, forced bool)
), redriven AS (
  UPDATE notification n SET generation = n.generation + 1, status = 'PENDING', failure_reason = NULL, failures = NULL,
         finished_at = NULL, cancel_requested_at = NULL, revision = n.revision + 1
    FROM item WHERE n.id = item.id AND n.tenant = :tenant AND n.revision = item.revision
  RETURNING n.id, n.tenant, n.generation, n.notification_type, n.priority, item.event_id, item.forced, item.delay
), queued AS (
  INSERT INTO queue_entry (notification_id, generation, tenant, priority, lane, state, next_at, waits_until)
  SELECT id, generation, tenant, priority, hashtext(notification_type),
         CASE WHEN delay > 0 THEN 'waiting' ELSE 'due' END,
         now() + make_interval(secs => delay), CASE WHEN delay > 0 THEN now() + make_interval(secs => delay) END
    FROM redriven
  ON CONFLICT (notification_id) DO UPDATE SET generation = EXCLUDED.generation, state = EXCLUDED.state,
         next_at = EXCLUDED.next_at, waits_until = EXCLUDED.waits_until, priority = EXCLUDED.priority,
         started_at = NULL, claimed_by = NULL, queued_provider = NULL, queued_at = NULL, evidence_due = false,
         cancel_due = false
), reset_deliveries AS (
  UPDATE delivery d SET awaited_evidence = NULL, held_at = NULL, held_providers = NULL, hold_key = NULL,
         release_expires_at = NULL
    FROM redriven WHERE d.notification_id = redriven.id AND (d.awaited_evidence IS NOT NULL OR d.held_at IS NOT NULL)
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, detail, status)
  SELECT event_id, tenant, id, clock_timestamp(), 'redriven', jsonb_strip_nulls(jsonb_build_object(
         'generation', generation, 'key', CAST(:key AS text), 'forced', CASE WHEN forced THEN true END)), 'PENDING'
    FROM redriven
  ON CONFLICT (id) DO NOTHING
)
SELECT id, pg_notify(:channel, :due)::text FROM redriven
""")


async def count_dead_letters(session: AsyncSession, tenant: UUID, criteria: NotificationFilter) -> int:
    statement = text(f"SELECT count(*) FROM notification n WHERE {build_conditions(criteria)}")  # noqa: S608 - our own
    return int((await session.execute(statement, filter_values(tenant, criteria))).scalar_one())


async def find_targets(
    session: AsyncSession, tenant: UUID, criteria: NotificationFilter, *, after: UUID = MIN_ID, limit: int, lock: bool
) -> list[RedriveTarget]:
    """In the order of their ids, in which all who lock several lock them; `after` is the last one before."""
    parameters = filter_values(tenant, criteria)
    page = text(build_id_query(criteria))
    rows = text(f"""
        SELECT {TARGET_COLUMNS} FROM notification n WHERE n.id = ANY(:ids) AND {build_conditions(criteria)}
         ORDER BY n.id {"FOR UPDATE OF n" if lock else ""}""")  # noqa: S608
    target: list[RedriveTarget] = []
    # Those that another transaction redrives while their lock is waited for are replaced by later ones.
    while (missing := limit - len(target)) > 0:
        ids = (await session.execute(page, {**parameters, "after": after, "limit": missing})).scalars().all()
        if ids:
            after = ids[-1]
            target += [_target_of(row) for row in (await session.execute(rows, {**parameters, "ids": ids})).mappings()]
        if len(ids) < missing:
            break
    return target


async def lock_target(session: AsyncSession, tenant: UUID, id: UUID) -> RedriveTarget | None:
    """Locked."""
    statement = text(f"""
        SELECT {TARGET_COLUMNS} FROM notification n WHERE n.tenant = :tenant AND n.id = :id FOR UPDATE OF n
    """)  # noqa: S608 - a constant of our own
    row = (await session.execute(statement, {"tenant": tenant, "id": id})).mappings().one_or_none()
    return None if row is None else _target_of(row)


async def redrive(session: AsyncSession, tenant: UUID, redrives: Sequence[PlannedRedrive], key_id: UUID) -> set[UUID]:
    """Ids of those that have a new generation by this; whose row has moved on since it was read has none."""
    items = [_redrive_item(planned) for planned in redrives]
    parameters = {"items": to_json(items), "tenant": tenant, "key": str(key_id)}
    parameters |= {"channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return {row[0] for row in await session.execute(WRITE_GENERATIONS, parameters)}


def _redrive_item(planned: PlannedRedrive) -> dict[str, Any]:
    target = planned.target
    return {
        "id": target.id,
        "revision": target.revision,
        "event_id": derived_id("event", target.id, target.revision, 0),
        "delay": planned.delay,
        "forced": target.candidate.status is NotificationStatus.IN_DOUBT,
    }


def _target_of(row: Any) -> RedriveTarget:
    candidate = RedriveCandidate(
        status=NotificationStatus(row["status"]),
        finished=row["finished_at"] is not None,
        expires_at=row["expires_at"],
        erased=row["erased"],
        emptied=row["emptied"],
    )
    return RedriveTarget(
        id=row["id"],
        revision=row["revision"],
        generation=row["generation"],
        priority=row["priority"],
        candidate=candidate,
    )
