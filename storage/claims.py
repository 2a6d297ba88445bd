"""Queue entries of open notifications: claims by worker processes, waits for providers, and signals to workflows.

A claim is a lease: no lock outlives the statement. The database function `claim_due`
(storage/migrations/versions/0001_functions/claim_due.sql) counts the slots of the process and serves tenants
round-robin. Few notifications wait for the rate of a provider in Temporal,
whose queue orders by priority only and cannot reroute a call; the others wait in Postgres.

Locks are taken in this order: the notification, the preferences of its recipient, its queue entry. Statements that
lock several entries lock them in the order of their ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, route_text
from storage.statements import Executor, decoded, statement

# Of a process that is the only one of its `worker.py` and has no setting. With more slots, urgent notifications wait
# longer.
DEFAULT_SLOTS = 4
# Longer than a start can block. A row whose process was killed between the claim and the start waits this long.
LEASE_SECONDS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """Limit the notifications that a process handles at a time. `reserved` slots are kept for priorities 1 and 2."""

    total: int
    reserved: int


def resolve_slots(total: int) -> Slots:
    """Return the slots of one process; 0 is the default."""
    total = total or DEFAULT_SLOTS
    return Slots(total=total, reserved=max(1, total // 4))


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedNotification:
    """`has_workflow`: its workflow exists and is to be resumed. `waits_for_send_at`: `send_at` is in the future, by the
    clock of the database: a worker whose clock is ahead would send early. `predates_restore`: it is older than a
    restore of the database, and Temporal may have its workflow in a later state. `tenant_key`, `route` and
    `schedule_key` (of the recurring send) are for operators to read, and empty if `has_workflow`."""

    id: UUID
    tenant: UUID
    generation: int
    priority: int
    notification_type: str
    send_at: datetime | None
    expires_at: datetime | None
    has_workflow: bool
    waits_for_send_at: bool = False
    predates_restore: bool = False
    tenant_key: str = ""
    route: str = ""
    schedule_key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedClaim:
    """Describe a claim whose workflow was started or resumed. With `waits_until`, the mark frees the slot and the entry
    waits until then. A resume is no start: the workflow of an entry that a recovery has made due again is gone."""

    id: UUID
    generation: int
    is_resume: bool = False
    waits_until: datetime | None = None


# The claim does not wait until it is on disk. One that Postgres loses in a crash is due again, as if it had expired,
# and its workflow is found started. A write that follows from a claim takes the claim to the disk with it.
CLAIM_DUE = statement("claims/claim_due")

# Fenced by the claim itself and by the generation. A canceled one may be signaled from now on.
MARK_STARTED = statement("claims/mark_started")
RETURN_CLAIMS = statement("claims/return_claims")

RELEASE_SLOT = statement("claims/release_slot")
SET_WAIT = statement("claims/set_wait")
# A wait that `waits_for` names is another channel's.
CLEAR_WAIT = statement("claims/clear_wait")

# Make entries with an expired claim or an ended wait due, the most urgent first.
MAKE_WAITING_DUE = statement("claims/make_waiting_due")

# What a tenant has due at priorities 1 and 2 beyond its burst, oldest first. Notifications are locked before entries.
DEMOTE_BURSTS = statement("claims/demote_bursts")


async def claim_due(
    session: Executor, process: UUID, slots: Slots, *, batch_size: int, look_back: timedelta
) -> tuple[list[ClaimedNotification], bool]:
    """Claim at most `batch_size` rows due for at most `look_back`, by priority and round-robin among tenants.

    Also return whether the process has no free slot, at least for priorities 3 to 5: then more may be due.
    """
    values = {
        "process": process,
        "slots": slots.total,
        "reserved": slots.reserved,
        "batch_size": batch_size,
        "look_back": look_back,
    }
    *rows, last = (await session.execute(CLAIM_DUE, {**values, "lease": LEASE_SECONDS})).mappings()
    return [_claimed_notification(row) for row in rows], bool(last["is_full"])


def _claimed_notification(row: Mapping[str, Any]) -> ClaimedNotification:
    labels = ("tenant_key", "route", "schedule_key")
    tenant_key, route, channel_filter, schedule_key = decoded(row["labels"]) or ("", [], None, None)
    values = {name: row[name] for name in ClaimedNotification.__slots__ if name not in labels}
    return ClaimedNotification(
        **values, tenant_key=tenant_key, route=route_text(route, channel_filter), schedule_key=schedule_key
    )


async def mark_started(session: Executor, process: UUID, started_claims: Sequence[StartedClaim]) -> None:
    """Mark the workflows that were started or resumed. Most entries have been updated by their workflows before."""
    fences = _fences((claim.id, claim.generation) for claim in started_claims)
    resumes = [claim.is_resume for claim in started_claims]
    waits = [claim.waits_until for claim in started_claims]
    await session.execute(MARK_STARTED, {"process": process, "resumes": resumes, "waits": waits, **fences})


async def return_claims(
    session: Executor, process: UUID, claimed: Sequence[ClaimedNotification], seconds: float
) -> None:
    """Give claims back that Temporal did not take; they are due again after `seconds`."""
    fences = _fences((claim.id, claim.generation) for claim in claimed)
    await session.execute(RETURN_CLAIMS, {"process": process, "seconds": seconds, **fences})


async def release_slot(session: Executor, id: UUID, generation: int) -> None:
    """Release the slot of a notification whose call waits in a queue of Temporal."""
    await session.execute(RELEASE_SLOT, {"id": id, "generation": generation})


async def set_wait(session: Executor, id: UUID, generation: int, until: datetime) -> None:
    """Resume its workflow then, in its turn."""
    await session.execute(SET_WAIT, {"id": id, "generation": generation, "until": until})


async def clear_wait(session: Executor, id: UUID, generation: int) -> None:
    """Record that the workflow no longer waits."""
    await session.execute(CLEAR_WAIT, {"id": id, "generation": generation})


async def demote_bursts(session: Executor, *, burst: int, limit: int) -> int:
    """Demote a tenant's due notifications of priorities 1 and 2 beyond `burst` to priority 3. Return how many."""
    return int((await session.execute(DEMOTE_BURSTS, {"burst": burst, "limit": limit})).scalar_one())


async def make_waiting_due(session: Executor, *, look_back: timedelta, limit: int) -> int:
    """Make due what has waited for its time, and what a process has claimed and not begun. Return how many."""
    values = {"look_back": look_back, "limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return len(list(await session.execute(MAKE_WAITING_DUE, values)))


def _fences(keys: Iterable[tuple[UUID, int]]) -> dict[str, Any]:
    """Return ids with the generations that fence the write."""
    pairs = list(keys)
    return {"ids": [id for id, _ in pairs], "generations": [generation for _, generation in pairs]}


MAX_QUEUED = 60
# Of a provider whose queue has not moved for 30 seconds.
MAX_QUEUED_IF_STALE = 5
QUEUE_LIMITS = {"max_queued": MAX_QUEUED, "max_queued_if_stale": MAX_QUEUED_IF_STALE}

SELECT_FREE_SLOTS = statement("claims/select_free_slots")
ADMIT_WAITING = statement("claims/admit_waiting")
SELECT_AWAITED = statement("claims/select_awaited")


async def has_free_place(session: Executor, provider: str) -> bool:
    """Return whether another call may wait in the provider's own queue."""
    return int((await session.execute(SELECT_FREE_SLOTS, {"provider": provider, **QUEUE_LIMITS})).scalar_one()) > 0


async def find_awaited_providers(session: Executor, providers: Sequence[str]) -> list[str]:
    """Return those of the providers that something waits for."""
    return list((await session.execute(SELECT_AWAITED, {"names": list(providers)})).scalars())


async def admit(session: Executor, provider: str) -> int:
    """Make as many calls due as the queue has slots, by priority and round-robin among tenants. Return their number."""
    values = {"provider": provider, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE, **QUEUE_LIMITS}
    return int((await session.execute(ADMIT_WAITING, values)).one()[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsignaledEvidence:
    id: UUID
    generation: int
    count: int


SELECT_CANCELS = statement("claims/select_cancels")
MARK_SIGNALED = statement("claims/mark_signaled")
SELECT_EVIDENCE = statement("claims/select_evidence")
MARK_EVIDENCE_SIGNALED = statement("claims/mark_evidence_signaled")

# Exponential interval (1, 2, 4 … 60 min) keeps long waits cheap.
CLAIM_ORPHANS = statement("claims/claim_orphans")
HAS_OWN_WORKFLOW = statement("claims/has_own_workflow")
REDISPATCH = statement("claims/redispatch")


async def list_unsignaled_cancels(session: Executor, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Return canceled rows whose workflow may still wait: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(SELECT_CANCELS, {"limit": limit})]


async def mark_cancels_signaled(session: Executor, signaled: list[tuple[UUID, UUID, int]]) -> None:
    """Mark cancels as signaled, in the form in which `list_unsignaled_cancels` returned them."""
    await session.execute(MARK_SIGNALED, _fences((id, generation) for id, _, generation in signaled))


async def list_unsignaled_evidence(session: Executor, limit: int) -> list[UnsignaledEvidence]:
    """Return notifications whose workflow waits for evidence that has arrived."""
    rows = (await session.execute(SELECT_EVIDENCE, {"limit": limit})).mappings()
    return [UnsignaledEvidence(**row) for row in rows]


async def mark_evidence_signaled(session: Executor, signaled_evidence: list[UnsignaledEvidence]) -> None:
    """Mark evidence as signaled, unless more has arrived since it was read."""
    values = _fences((due.id, due.generation) for due in signaled_evidence)
    await session.execute(MARK_EVIDENCE_SIGNALED, {**values, "counts": [due.count for due in signaled_evidence]})


async def claim_orphans(session: Executor, limit: int) -> list[tuple[UUID, UUID, int]]:
    """Claim open rows that were started a while ago and not examined since: (id, tenant, generation)."""
    return [tuple(row) for row in await session.execute(CLAIM_ORPHANS, {"limit": limit})]


async def has_workflow(session: AsyncSession, id: UUID, generation: int) -> bool:
    """Return whether the notification has its own workflow."""
    return bool((await session.execute(HAS_OWN_WORKFLOW, {"id": id, "generation": generation})).scalar_one())


async def redispatch(session: AsyncSession, id: UUID, generation: int) -> None:
    await session.execute(REDISPATCH, _fences([(id, generation)]))
