"""Which started notifications are to be signaled or looked after, and which are to be started again."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from models.queue import HAS_WORKFLOW, IS_TO_CANCEL, MAY_BE_ORPHANED
from storage.queue_entries import FROM_LOCKED_ENTRIES, LOCK_ENTRIES
from storage.round_robin import round_robin
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsignaledEvidence:
    id: UUID
    generation: int
    count: int


ROUND_ROBIN_ORDER = {"key": "notification_id", "order": "notification_id", "lock": ""}
# What was canceled while a process started it is signaled when that claim expires.
IS_CANCEL_DUE = f"{IS_TO_CANCEL} AND (state <> 'canceled' OR next_at <= now())"
SELECT_CANCELS = text(f"""
WITH RECURSIVE {round_robin("queue_entry", waiting=IS_CANCEL_DUE, **ROUND_ROBIN_ORDER)}
SELECT notification_id, tenant, generation FROM queue_entry JOIN chosen USING (notification_id)
""")  # noqa: S608 - constants of our own
MARK_SIGNALED = text(f"""
WITH {LOCK_ENTRIES}, ended AS (
  DELETE FROM queue_entry q USING entry WHERE q.notification_id = entry.notification_id AND q.state = 'canceled'
)
UPDATE queue_entry q SET cancel_due = false {FROM_LOCKED_ENTRIES} AND q.state <> 'canceled'
""")  # noqa: S608 - constants of our own

SELECT_EVIDENCE = text(f"""
WITH RECURSIVE {round_robin("queue_entry", waiting="evidence_due", **ROUND_ROBIN_ORDER)}
SELECT notification_id AS id, generation, evidence_count AS count FROM queue_entry JOIN chosen USING (notification_id)
 ORDER BY notification_id
""")  # noqa: S608 - constants of our own
MARK_EVIDENCE_SIGNALED = text(f"""
WITH {LOCK_ENTRIES}
UPDATE queue_entry q SET evidence_due = false
  FROM entry, unnest(CAST(:ids AS uuid[]), CAST(:counts AS int[])) AS x(id, count)
 WHERE q.notification_id = entry.notification_id AND q.notification_id = x.id AND q.evidence_count = x.count
""")  # noqa: S608 - constants of our own

# Looked at after as long again as it has been open: at 1, 2, 4 … 60 min, so that a long wait costs next to nothing.
CLAIM_ORPHANS = text(f"""
WITH due AS (
  SELECT notification_id FROM queue_entry WHERE ({MAY_BE_ORPHANED}) AND next_at < now()
   ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE queue_entry q
   SET next_at = now() + least(greatest(now() - q.started_at, interval '1 minute'), interval '1 hour')
  FROM due WHERE q.notification_id = due.notification_id RETURNING q.notification_id, q.tenant, q.generation
""")  # noqa: S608 - a constant of our own

RESET_TO_DUE = "state = 'due', next_at = now(), started_at = NULL, claimed_by = NULL, waits_until = NULL"
HAS_OWN_WORKFLOW = text(f"""
SELECT count(*) > 0 FROM queue_entry WHERE notification_id = :id AND generation = :generation AND {HAS_WORKFLOW}
""")  # noqa: S608 - a constant of our own
REDISPATCH = text(f"""
WITH {LOCK_ENTRIES} UPDATE queue_entry q SET {RESET_TO_DUE} {FROM_LOCKED_ENTRIES} AND {HAS_WORKFLOW}
""")  # noqa: S608 - constants of our own


def _entry_values(keys: Iterable[tuple[UUID, int]]) -> dict[str, Any]:
    """Ids with the generations that fence the write."""
    ids, generations = [], []
    for id, generation in keys:
        ids.append(id)
        generations.append(generation)
    return {"ids": ids, "generations": generations}


async def list_unsignaled_cancels(session: Executor, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Cancelled rows whose workflow may still wait: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(SELECT_CANCELS, {"limit": limit})]


async def mark_cancels_signaled(session: Executor, signaled: list[tuple[UUID, UUID, int]]) -> None:
    """As `unsignaled_cancels` returned them."""
    await session.execute(MARK_SIGNALED, _entry_values([(id, generation) for id, _, generation in signaled]))


async def list_unsignaled_evidence(session: Executor, limit: int) -> list[UnsignaledEvidence]:
    """Notifications whose workflow waits for something that has come."""
    rows = (await session.execute(SELECT_EVIDENCE, {"limit": limit})).mappings()
    return [UnsignaledEvidence(**row) for row in rows]


async def mark_evidence_signaled(session: Executor, signaled_evidence: list[UnsignaledEvidence]) -> None:
    """Mark evidence as signaled, unless more has arrived since it was read."""
    values = _entry_values([(due.id, due.generation) for due in signaled_evidence])
    await session.execute(MARK_EVIDENCE_SIGNALED, {**values, "counts": [due.count for due in signaled_evidence]})


async def claim_orphans(session: Executor, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Open rows that were started a while ago and not looked at since: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(CLAIM_ORPHANS, {"limit": limit})]


async def has_workflow(session: AsyncSession, id: UUID, generation: int) -> bool:
    """Whether a workflow of its own is to see to it."""
    return bool((await session.execute(HAS_OWN_WORKFLOW, {"id": id, "generation": generation})).scalar_one())


async def redispatch(session: AsyncSession, id: UUID, generation: int) -> None:
    await session.execute(REDISPATCH, _entry_values([(id, generation)]))
