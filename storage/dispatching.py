"""Which rows are due to start, to be signalled or to be looked after. A claim is a lease: no lock outlives a call."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import CANCEL_DUE, DISPATCH_CHANNEL
from domain.notification_types import URGENT
from storage.queue_entries import ENTRY, OF_ENTRY
from storage.statements import Executor

FIRST = UUID(int=0)
LEASE_SECONDS = 12  # longer than a start can block; what a row waits whose dispatcher was killed


@dataclass(frozen=True, kw_only=True, slots=True)
class DueNotification:
    id: UUID
    tenant: UUID
    generation: int
    notification_type: str
    priority: int
    send_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DueEvidence:
    id: UUID
    generation: int
    count: int


TO_START = "state IN ('due', 'claimed') AND next_at <= now()"
FIRST_DUE = f"{TO_START} AND generation = 1"
LOOKED_AFTER = "state IN ('started', 'waiting')"
CLAIMED = f"state = 'claimed', next_at = now() + make_interval(secs => {LEASE_SECONDS})"
RETURNING = "RETURNING n.id, n.tenant, q.generation, n.notification_type, n.priority, n.send_at, n.expires_at"
OF_DUE = "FROM due JOIN notification n ON n.id = due.notification_id WHERE q.notification_id = due.notification_id"

CLAIM_URGENT = text(f"""
WITH due AS (
  SELECT notification_id FROM queue_entry WHERE {FIRST_DUE} AND priority <= {URGENT}
   ORDER BY priority, notification_id LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE queue_entry q SET {CLAIMED} {OF_DUE} {RETURNING}
""")  # noqa: S608 - constants of our own

# By priority, then tenants in turn: each offers its own first few; the n-th of every tenant come before any (n+1)-th,
# and the turn goes on behind the tenant that was served last.
CLAIM_PACED = text(f"""
WITH offered AS (
  SELECT own.notification_id, own.turn FROM tenant t CROSS JOIN LATERAL (
    SELECT notification_id, priority, row_number() OVER (PARTITION BY priority ORDER BY notification_id) AS turn
      FROM (SELECT notification_id, priority FROM queue_entry
             WHERE tenant = t.id AND {FIRST_DUE} AND priority > {URGENT}
             ORDER BY priority, notification_id LIMIT :limit) first_few) own
   ORDER BY own.priority, own.turn, t.id <= :after, t.id LIMIT :limit
), due AS (
  SELECT q.notification_id, offered.turn FROM queue_entry q JOIN offered USING (notification_id)
   WHERE {FIRST_DUE} FOR UPDATE OF q SKIP LOCKED
)
UPDATE queue_entry q SET {CLAIMED} {OF_DUE} {RETURNING}, due.turn
""")  # noqa: S608 - constants of our own

# Of redriven ones many thousand may wait for their time: in an index of their own they are in nobody's way.
CLAIM_REDRIVEN = text(f"""
WITH due AS (
  SELECT notification_id FROM queue_entry WHERE {TO_START} AND generation > 1
   ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE queue_entry q SET {CLAIMED} {OF_DUE} {RETURNING}
""")  # noqa: S608 - constants of our own

# One that was redriven since it was started is to be started again; one that is collected by now has no workflow, and
# one that has ended has no entry. A canceled one may be signaled from now on.
MARK_STARTED = text(f"""
WITH {ENTRY}
UPDATE queue_entry q SET started_at = now(), claimed_by = NULL,
       state = CASE WHEN q.state = 'canceled' THEN q.state WHEN q.waits_for IS NULL THEN 'started' ELSE 'waiting' END,
       next_at = CASE WHEN q.state = 'canceled' THEN now() ELSE now() + interval '1 minute' END
  {OF_ENTRY} AND q.state IN ('due', 'claimed', 'canceled')
""")  # noqa: S608 - constants of our own
POSTPONE = text(f"""
WITH {ENTRY}
UPDATE queue_entry q SET state = 'due', claimed_by = NULL, next_at = now() + make_interval(secs => :seconds)
  {OF_ENTRY} AND q.state IN ('due', 'claimed')
""")  # noqa: S608 - constants of our own

CANCELS = text(f"""
SELECT notification_id, tenant, generation FROM queue_entry
 WHERE cancel_due AND ({LOOKED_AFTER} OR (state = 'canceled' AND next_at <= now())) LIMIT :limit
""")  # noqa: S608 - a constant of our own
MARK_SIGNALED = text(f"""
WITH {ENTRY}, ended AS (
  DELETE FROM queue_entry q USING entry WHERE q.notification_id = entry.notification_id AND q.state = 'canceled'
)
UPDATE queue_entry q SET cancel_due = false {OF_ENTRY} AND q.state <> 'canceled'
""")  # noqa: S608 - constants of our own

EVIDENCE = text("""
SELECT notification_id AS id, generation, evidence_count AS count FROM queue_entry
 WHERE evidence_due ORDER BY notification_id LIMIT :limit
""")
TOLD = text(f"""
WITH {ENTRY}
UPDATE queue_entry q SET evidence_due = false
  FROM entry, unnest(CAST(:ids AS uuid[]), CAST(:counts AS int[])) AS x(id, count)
 WHERE q.notification_id = entry.notification_id AND q.notification_id = x.id AND q.evidence_count = x.count
""")  # noqa: S608 - constants of our own

# Looked at after as long again as it has been open: at 1, 2, 4 … 60 min, so that a long wait costs next to nothing.
STRAYS = text(f"""
WITH due AS (
  SELECT notification_id FROM queue_entry WHERE {LOOKED_AFTER} AND next_at < now()
   ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE queue_entry q
   SET next_at = now() + least(greatest(now() - q.started_at, interval '1 minute'), interval '1 hour')
  FROM due WHERE q.notification_id = due.notification_id RETURNING q.notification_id, q.tenant, q.generation
""")  # noqa: S608 - a constant of our own

AGAIN = "state = 'due', next_at = now(), started_at = NULL"
IS_STARTED = text(f"""
SELECT count(*) > 0 FROM queue_entry WHERE notification_id = :id AND generation = :generation AND {LOOKED_AFTER}
""")  # noqa: S608 - a constant of our own
REDISPATCH = text(f"""
WITH {ENTRY} UPDATE queue_entry q SET {AGAIN} {OF_ENTRY} AND {LOOKED_AFTER.replace("state", "q.state", 1)}
""")  # noqa: S608 - constants of our own


async def claim_urgent(session: Executor, limit: int) -> list[DueNotification]:
    return _due((await session.execute(CLAIM_URGENT, {"limit": limit})).mappings())


async def claim_paced(session: Executor, limit: int, after: UUID = FIRST) -> list[DueNotification]:
    """In the order of service. `after` is the tenant that was served last; now that is the last row's."""
    rows = list((await session.execute(CLAIM_PACED, {"limit": limit, "after": after})).mappings())
    rows.sort(key=lambda row: (row["priority"], row["turn"], row["tenant"] <= after, row["tenant"]))
    return [_notification(row) for row in rows]


def _notification(row: Any) -> DueNotification:
    return DueNotification(**{name: row[name] for name in DueNotification.__slots__})


def _due(rows: Any) -> list[DueNotification]:
    return sorted((_notification(row) for row in rows), key=lambda due: (due.priority, due.id))


async def claim_redriven(session: Executor, limit: int) -> list[DueNotification]:
    return _due((await session.execute(CLAIM_REDRIVEN, {"limit": limit})).mappings())


async def mark_started(session: Executor, started: list[DueNotification]) -> None:
    await session.execute(MARK_STARTED, _entries([(one.id, one.generation) for one in started]))


async def postpone(session: AsyncSession, failed: list[DueNotification], seconds: float) -> None:
    values = _entries([(one.id, one.generation) for one in failed])
    await session.execute(POSTPONE, {**values, "seconds": seconds})


def _entries(keys: Iterable[tuple[UUID, int]]) -> dict[str, Any]:
    """Ids with the generations that fence the write."""
    ids, generations = [], []
    for id, generation in keys:
        ids.append(id)
        generations.append(generation)
    return {"ids": ids, "generations": generations}


async def unsignaled_cancels(session: AsyncSession, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Cancelled rows whose workflow may still wait: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(CANCELS, {"limit": limit})]


async def announce_cancel(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_notify(:channel, :due)"), {"channel": DISPATCH_CHANNEL, "due": CANCEL_DUE})


async def mark_signaled(session: AsyncSession, signaled: list[tuple[UUID, UUID, int]]) -> None:
    """As `unsignaled_cancels` returned them."""
    await session.execute(MARK_SIGNALED, _entries([(id, generation) for id, _, generation in signaled]))


async def evidence_due(session: AsyncSession, limit: int) -> list[DueEvidence]:
    """Notifications whose workflow waits for something that has come."""
    rows = (await session.execute(EVIDENCE, {"limit": limit})).mappings()
    return [DueEvidence(**row) for row in rows]


async def evidence_told(session: AsyncSession, told: list[DueEvidence]) -> None:
    """Only of the rows as they were read: what came since is still to be told."""
    values = _entries([(due.id, due.generation) for due in told])
    await session.execute(TOLD, {**values, "counts": [due.count for due in told]})


async def strays(session: AsyncSession, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Open rows that were started a while ago and not looked at since: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(STRAYS, {"limit": limit})]


async def is_started(session: AsyncSession, id: UUID, generation: int) -> bool:
    """Whether a workflow of its own is to see to it."""
    return bool((await session.execute(IS_STARTED, {"id": id, "generation": generation})).scalar_one())


async def redispatch(session: AsyncSession, id: UUID, generation: int) -> None:
    await session.execute(REDISPATCH, _entries([(id, generation)]))
