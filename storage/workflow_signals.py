"""Which started notifications are to be signaled or looked after, and which are to be started again."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsignaledEvidence:
    id: UUID
    generation: int
    count: int


SELECT_CANCELS = statement("workflow_signals/select_cancels")
MARK_SIGNALED = statement("workflow_signals/mark_signaled")

SELECT_EVIDENCE = statement("workflow_signals/select_evidence")
MARK_EVIDENCE_SIGNALED = statement("workflow_signals/mark_evidence_signaled")

# Looked at after as long again as it has been open: at 1, 2, 4 … 60 min, so that a long wait costs next to nothing.
CLAIM_ORPHANS = statement("workflow_signals/claim_orphans")

HAS_OWN_WORKFLOW = statement("workflow_signals/has_own_workflow")
REDISPATCH = statement("workflow_signals/redispatch")


def _entry_values(keys: Iterable[tuple[UUID, int]]) -> dict[str, Any]:
    """Return ids with the generations that fence the write."""
    ids, generations = [], []
    for id, generation in keys:
        ids.append(id)
        generations.append(generation)
    return {"ids": ids, "generations": generations}


async def list_unsignaled_cancels(session: Executor, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Cancelled rows whose workflow may still wait: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(SELECT_CANCELS, {"limit": limit})]


async def mark_cancels_signaled(session: Executor, signaled: list[tuple[UUID, UUID, int]]) -> None:
    """Mark cancels as signaled, in the form in which `unsignaled_cancels` returned them."""
    await session.execute(MARK_SIGNALED, _entry_values([(id, generation) for id, _, generation in signaled]))


async def list_unsignaled_evidence(session: Executor, limit: int) -> list[UnsignaledEvidence]:
    """Return notifications whose workflow waits for evidence that has arrived."""
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
    """Return whether the notification has its own workflow."""
    return bool((await session.execute(HAS_OWN_WORKFLOW, {"id": id, "generation": generation})).scalar_one())


async def redispatch(session: AsyncSession, id: UUID, generation: int) -> None:
    await session.execute(REDISPATCH, _entry_values([(id, generation)]))
