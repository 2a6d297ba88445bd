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
from domain.redrives import Candidate
from domain.statuses import NotificationStatus
from storage.database import to_json
from storage.parked import Filter, conditions, ids_in_order, values
from storage.recipients import ERASED

FIRST = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """`revision` is the one that was read: it fences the write, and nobody is redriven twice."""

    id: UUID
    revision: int
    generation: int
    priority: int
    candidate: Candidate


@dataclass(frozen=True, kw_only=True, slots=True)
class Redrive:
    """`delay` in seconds, from now until it may start."""

    found: Found
    delay: float = 0.0


COLUMNS = f"""n.id, n.revision, n.generation, n.priority, n.status, n.finished_at, n.expires_at, {ERASED} AS erased,
  n.content_removed_at IS NOT NULL AS emptied"""

WRITE = text("""
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
         started_at = NULL, claimed_by = NULL, queued_for = NULL, queued_at = NULL, evidence_due = false,
         cancel_due = false
), forgotten AS (
  UPDATE delivery d SET awaits = NULL, held_at = NULL, held_providers = NULL, held_for = NULL, release_at = NULL
    FROM redriven WHERE d.notification_id = redriven.id AND (d.awaits IS NOT NULL OR d.held_at IS NOT NULL)
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, detail, status)
  SELECT event_id, tenant, id, clock_timestamp(), 'redriven', jsonb_strip_nulls(jsonb_build_object(
         'generation', generation, 'key', CAST(:key AS text), 'forced', CASE WHEN forced THEN true END)), 'PENDING'
    FROM redriven
  ON CONFLICT (id) DO NOTHING
)
SELECT id, pg_notify(:channel, :due)::text FROM redriven
""")


async def count(session: AsyncSession, tenant: UUID, wanted: Filter) -> int:
    statement = text(f"SELECT count(*) FROM notification n WHERE {conditions(wanted)}")  # noqa: S608 - our own
    return int((await session.execute(statement, values(tenant, wanted))).scalar_one())


async def find(
    session: AsyncSession, tenant: UUID, wanted: Filter, *, after: UUID = FIRST, limit: int, lock: bool
) -> list[Found]:
    """In the order of their ids, in which all who lock several lock them; `after` is the last one before."""
    given = values(tenant, wanted)
    page = text(ids_in_order(wanted))
    rows = text(f"""
        SELECT {COLUMNS} FROM notification n WHERE n.id = ANY(:ids) AND {conditions(wanted)}
         ORDER BY n.id {"FOR UPDATE OF n" if lock else ""}""")  # noqa: S608
    found: list[Found] = []
    # Those that another transaction redrives while their lock is waited for are replaced by later ones.
    while (missing := limit - len(found)) > 0:
        ids = (await session.execute(page, {**given, "after": after, "limit": missing})).scalars().all()
        if ids:
            after = ids[-1]
            found += [_found(row) for row in (await session.execute(rows, {**given, "ids": ids})).mappings()]
        if len(ids) < missing:
            break
    return found


async def find_one(session: AsyncSession, tenant: UUID, id: UUID) -> Found | None:
    """Locked."""
    statement = text(f"SELECT {COLUMNS} FROM notification n WHERE n.tenant = :tenant AND n.id = :id FOR UPDATE OF n")  # noqa: S608
    row = (await session.execute(statement, {"tenant": tenant, "id": id})).mappings().one_or_none()
    return None if row is None else _found(row)


async def redrive(session: AsyncSession, tenant: UUID, redrives: Sequence[Redrive], key_id: UUID) -> set[UUID]:
    """Ids of those that have a new generation by this; whose row has moved on since it was read has none."""
    items = [_item(each) for each in redrives]
    given = {"items": to_json(items), "tenant": tenant, "key": str(key_id)}
    given |= {"channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return {row[0] for row in await session.execute(WRITE, given)}


def _item(each: Redrive) -> dict[str, Any]:
    found = each.found
    return {
        "id": found.id,
        "revision": found.revision,
        "event_id": derived_id("event", found.id, found.revision, 0),
        "delay": each.delay,
        "forced": found.candidate.status is NotificationStatus.IN_DOUBT,
    }


def _found(row: Any) -> Found:
    candidate = Candidate(
        status=NotificationStatus(row["status"]),
        finished=row["finished_at"] is not None,
        expires_at=row["expires_at"],
        erased=row["erased"],
        emptied=row["emptied"],
    )
    return Found(
        id=row["id"],
        revision=row["revision"],
        generation=row["generation"],
        priority=row["priority"],
        candidate=candidate,
    )
