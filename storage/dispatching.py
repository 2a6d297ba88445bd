"""Which rows are due to start, to be signalled or to be looked after. A claim is a lease: no lock outlives a call."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import CANCEL_DUE, DISPATCH_CHANNEL
from domain.notification_types import URGENT

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
    revision: int


RETURNING = "RETURNING n.id, n.tenant, n.generation, n.notification_type, n.priority, n.send_at, n.expires_at"
OPEN = "dispatched_at IS NULL AND finished_at IS NULL AND dispatch_at <= now()"
DUE = f"{OPEN} AND generation = 1 AND digest_group IS NULL"

CLAIM_URGENT = text(f"""
UPDATE notification n SET dispatch_at = now() + make_interval(secs => {LEASE_SECONDS})
  FROM (SELECT id FROM notification WHERE {DUE} AND priority <= {URGENT}
         ORDER BY priority, id LIMIT :limit FOR UPDATE SKIP LOCKED) due
 WHERE n.id = due.id {RETURNING}
""")  # noqa: S608 - constants of our own

# By priority, then tenants in turn: each offers its own first few; the n-th of every tenant come before any (n+1)-th,
# and the turn goes on behind the tenant that was served last.
CLAIM_PACED = text(f"""
WITH offered AS (
  SELECT own.id, own.turn FROM tenant t CROSS JOIN LATERAL (
    SELECT id, priority, row_number() OVER (PARTITION BY priority ORDER BY id) AS turn
      FROM (SELECT id, priority FROM notification
             WHERE tenant = t.id AND {DUE} AND priority > {URGENT} ORDER BY priority, id LIMIT :limit) first_few) own
   ORDER BY own.priority, own.turn, t.id <= :after, t.id LIMIT :limit
)
UPDATE notification n SET dispatch_at = now() + make_interval(secs => {LEASE_SECONDS})
  FROM (SELECT n.id, offered.turn FROM notification n JOIN offered USING (id)
         WHERE {DUE} FOR UPDATE OF n SKIP LOCKED) due
 WHERE n.id = due.id {RETURNING}, due.turn
""")  # noqa: S608 - constants of our own

# Of redriven ones many thousand may wait for their time: in an index of their own they are in nobody's way.
CLAIM_REDRIVEN = text(f"""
UPDATE notification n SET dispatch_at = now() + make_interval(secs => {LEASE_SECONDS})
  FROM (SELECT id FROM notification WHERE {OPEN} AND generation > 1 AND digest_group IS NULL
         ORDER BY dispatch_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
 WHERE n.id = due.id {RETURNING}
""")  # noqa: S608 - constants of our own

# One that was redriven since it was started is to be started again; one that is collected by now has no workflow, and
# one that is finished needs none, unless a cancel has ended it: then its workflow is to be signaled.
MARK_STARTED = text("""
UPDATE notification n SET dispatched_at = now(), swept_at = now()
  FROM unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
 WHERE n.id = x.id AND n.generation = x.generation AND n.digest_group IS NULL
   AND (n.finished_at IS NULL OR n.cancel_requested_at IS NOT NULL)
""")
POSTPONE = text("""
UPDATE notification SET dispatch_at = now() + make_interval(secs => :seconds)
 WHERE id = ANY(:ids) AND digest_group IS NULL
""")

CANCELS = text("""
SELECT id, tenant, generation FROM notification
 WHERE cancel_requested_at IS NOT NULL AND cancel_signaled_at IS NULL AND dispatched_at IS NOT NULL LIMIT :limit
""")
MARK_SIGNALED = text("UPDATE notification SET cancel_signaled_at = now() WHERE id = ANY(:ids)")

EVIDENCE = text("SELECT id, generation, revision FROM notification WHERE evidence_due ORDER BY id LIMIT :limit")
TOLD = text("""
UPDATE notification n SET evidence_due = false
  FROM unnest(CAST(:ids AS uuid[]), CAST(:revisions AS int[])) AS x(id, revision)
 WHERE n.id = x.id AND n.revision = x.revision
""")

# Looked at after as long again as it has been open: at 1, 2, 4 … 60 min, so that a long wait costs next to nothing.
STRAYS = text("""
UPDATE notification n SET swept_at = now()
  FROM (SELECT id FROM notification
         WHERE dispatched_at IS NOT NULL AND finished_at IS NULL
           AND swept_at < now() - least(greatest(swept_at - dispatched_at, interval '1 minute'), interval '1 hour')
         ORDER BY swept_at LIMIT :limit FOR UPDATE SKIP LOCKED) stray
 WHERE n.id = stray.id RETURNING n.id, n.tenant, n.generation
""")

ADOPT_STORE = text("""
WITH known AS (SELECT namespace_id FROM engine_state WHERE id = 1 FOR UPDATE),
kept AS (
  INSERT INTO engine_state (id, namespace_id) VALUES (1, :namespace_id)
  ON CONFLICT (id) DO UPDATE SET namespace_id = EXCLUDED.namespace_id
), again AS (
  UPDATE notification SET dispatched_at = NULL, dispatch_at = now()
   WHERE finished_at IS NULL AND dispatched_at IS NOT NULL
     AND EXISTS (SELECT 1 FROM known WHERE known.namespace_id IS DISTINCT FROM :namespace_id) RETURNING id
), ticking AS (
  UPDATE tick SET ensured_at = NULL
   WHERE EXISTS (SELECT 1 FROM known WHERE known.namespace_id IS DISTINCT FROM :namespace_id)
)
SELECT count(*) FROM again
""")

IS_STARTED = text("SELECT dispatched_at IS NOT NULL FROM notification WHERE id = :id")
REDISPATCH = text("UPDATE notification SET dispatched_at = NULL, dispatch_at = now() WHERE id = ANY(:ids)")


async def claim_urgent(session: AsyncSession, limit: int) -> list[DueNotification]:
    return _due((await session.execute(CLAIM_URGENT, {"limit": limit})).mappings())


async def claim_paced(session: AsyncSession, limit: int, after: UUID = FIRST) -> list[DueNotification]:
    """In the order of service. `after` is the tenant that was served last; now that is the last row's."""
    rows = list((await session.execute(CLAIM_PACED, {"limit": limit, "after": after})).mappings())
    rows.sort(key=lambda row: (row["priority"], row["turn"], row["tenant"] <= after, row["tenant"]))
    return [_notification(row) for row in rows]


def _notification(row: Any) -> DueNotification:
    return DueNotification(**{name: row[name] for name in DueNotification.__slots__})


def _due(rows: Any) -> list[DueNotification]:
    return sorted((_notification(row) for row in rows), key=lambda due: (due.priority, due.id))


async def claim_redriven(session: AsyncSession, limit: int) -> list[DueNotification]:
    return _due((await session.execute(CLAIM_REDRIVEN, {"limit": limit})).mappings())


async def mark_started(session: AsyncSession, started: list[DueNotification]) -> None:
    values = {"ids": [one.id for one in started], "generations": [one.generation for one in started]}
    await session.execute(MARK_STARTED, values)


async def postpone(session: AsyncSession, ids: list[UUID], seconds: float) -> None:
    await session.execute(POSTPONE, {"ids": ids, "seconds": seconds})


async def unsignaled_cancels(session: AsyncSession, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Cancelled rows whose workflow may still wait: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(CANCELS, {"limit": limit})]


async def announce_cancel(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_notify(:channel, :due)"), {"channel": DISPATCH_CHANNEL, "due": CANCEL_DUE})


async def mark_signaled(session: AsyncSession, ids: list[UUID]) -> None:
    await session.execute(MARK_SIGNALED, {"ids": ids})


async def evidence_due(session: AsyncSession, limit: int) -> list[DueEvidence]:
    """Notifications whose workflow waits for something that has come."""
    rows = (await session.execute(EVIDENCE, {"limit": limit})).mappings()
    return [DueEvidence(**row) for row in rows]


async def evidence_told(session: AsyncSession, told: list[DueEvidence]) -> None:
    """Only of the rows as they were read: what came since is still to be told."""
    await session.execute(TOLD, {"ids": [due.id for due in told], "revisions": [due.revision for due in told]})


async def strays(session: AsyncSession, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Open rows that were started a while ago and not looked at since: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(STRAYS, {"limit": limit})]


async def adopt_store(session: AsyncSession, namespace_id: str) -> int:
    """Remember which store holds the workflows; if it is another one, every open row is due again. How many."""
    return int((await session.execute(ADOPT_STORE, {"namespace_id": namespace_id})).scalar_one())


async def is_started(session: AsyncSession, id: UUID) -> bool:
    """Whether a workflow of its own is to see to it."""
    return bool((await session.execute(IS_STARTED, {"id": id})).scalar_one())


async def redispatch(session: AsyncSession, ids: list[UUID]) -> None:
    await session.execute(REDISPATCH, {"ids": ids})
