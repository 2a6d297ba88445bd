"""Read and write the row of `engine_state`: the known Temporal store, the recovery from a lost one and the start hold.

A recovery makes open notifications whose workflows were in a lost store due again. Each batch is one transaction that
moves the cursor, so that another process can continue after it.

The start hold begins when processes start on a restored database. Until an operator releases it, nothing is started or
sent. Notifications older than its beginning may have been sent after the backup was made: `storage/claims.py` and
`storage/attempts.py` compare ids with `restored_before`.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cursors import MIN_ID, first_id_at
from domain.names import DISPATCH_CHANNEL, STORE_DUE
from domain.temporal_stores import KnownNamespace, is_certain, observe_store
from storage.statements import Executor, statement

KNOWN_STORE_FIELDS = tuple(field.name for field in fields(KnownNamespace))

INSERT_STATE = text("INSERT INTO engine_state (id) VALUES (1) ON CONFLICT (id) DO NOTHING")
SELECT_STATE = statement("engine_state/select_state")
LOCK_STATE = statement("engine_state/lock_state")
SAVE_STATE = statement("engine_state/save_state")
# Ticks are those of the lost store: Temporal is to have all of them again.
RESET_TICKS = text("UPDATE tick SET synced_at = NULL")
BEGIN_RECOVERY = statement("engine_state/begin_recovery")
CONFIRM_REPLACEMENT = statement("engine_state/confirm_replacement")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryProgress:
    """Count the open notifications whose workflows were in a lost store. `finished_at` is None until all are due
    again."""

    since: datetime
    total: int
    done: int
    finished_at: datetime | None

    @property
    def left(self) -> int:
        """Return the upper limit of those that are not due again yet: some may have ended."""
        return 0 if self.finished_at else max(0, self.total - self.done)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreReport:
    """`at` is now, by the clock of the database; `recovery` is the last one. `lost` is how many open notifications are
    started again because this observation has adopted another store; None if it has not."""

    known: KnownNamespace
    at: datetime
    recovery: RecoveryProgress | None = None
    lost: int | None = None


async def read_report(session: Executor) -> StoreReport | None:
    """Return the latest report, or None before any process has seen a store."""
    return await _read_state(session, SELECT_STATE)


async def record_observation(session: Executor, seen_id: str) -> StoreReport:
    """Record, in the caller's transaction, that a process has observed this store."""
    before = await _read_state(session, LOCK_STATE)
    if before is None:
        await session.execute(INSERT_STATE)
        before = await _read_state(session, LOCK_STATE)
    if before is None:
        raise LookupError("engine_state has no row")
    known = observe_store(before.known, seen_id, before.at)
    await session.execute(SAVE_STATE, dict(zip(KNOWN_STORE_FIELDS, astuple(known), strict=True)))
    is_replaced = before.known.namespace_id not in (None, known.namespace_id)
    lost = await begin_recovery(session) if is_replaced else None
    return StoreReport(known=known, at=before.at, recovery=before.recovery, lost=lost)


async def begin_recovery(session: Executor) -> int:
    """Start again all open notifications that have a workflow, in batches. Return how many."""
    await session.execute(RESET_TICKS)
    return int((await session.execute(BEGIN_RECOVERY)).scalar_one())


async def is_conclusive(session: Executor, seen_id: str) -> bool:
    """Return whether a workflow that is not found in this store is lost or has ended. False while open notifications
    are restarted, because the workflows that are found may belong to a state that was lost."""
    current_report = await read_report(session)
    if current_report is None or (current_report.recovery is not None and current_report.recovery.finished_at is None):
        return False
    return is_certain(current_report.known, seen_id, current_report.at)


async def confirm_replacement(session: Executor, id: str) -> None:
    """Confirm that the adopted store is lost and this one replaces it. The next process that observes this one adopts
    it."""
    await session.execute(CONFIRM_REPLACEMENT, {"id": id, "channel": DISPATCH_CHANNEL, "due": STORE_DUE})


async def _read_state(session: Executor, query: object) -> StoreReport | None:
    row = (await session.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    recovery = row["recovery_since"] and RecoveryProgress(
        since=row["recovery_since"],
        total=row["recovery_total"],
        done=row["recovery_done"],
        finished_at=row["recovered_at"],
    )
    return StoreReport(
        known=KnownNamespace(**{name: row[name] for name in KNOWN_STORE_FIELDS}), at=row["at"], recovery=recovery
    )


LOWEST_PRIORITY = 5

IS_RECOVERING = text("""
SELECT EXISTS (SELECT 1 FROM engine_state WHERE id = 1 AND recovery_since IS NOT NULL AND recovered_at IS NULL)
""")
LOCK_PROGRESS = statement("engine_state/lock_progress")
# By the primary key, so that all batches together read the table once per priority. What has been started since then is
# in the new store.
RESET_BATCH = statement("engine_state/reset_batch")
SAVE_PROGRESS = statement("engine_state/save_progress")
COUNT_UNSTARTED = statement("engine_state/count_unstarted")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredBatch:
    """`done` of `total` are due again, with the batch `ids`."""

    ids: list[UUID]
    done: int
    total: int
    is_last: bool


async def is_recovering(session: Executor) -> bool:
    """Return whether `recover_batch` has something to do."""
    return bool((await session.execute(IS_RECOVERING)).scalar_one())


async def recover_batch(session: AsyncSession, limit: int) -> RecoveredBatch | None:
    """Make the most urgent ones due again, `limit` at most. None if no recovery is under way."""
    progress = (await session.execute(LOCK_PROGRESS)).mappings().one_or_none()
    if progress is None:
        return None
    priority, after = progress["priority"], progress["after"] or MIN_ID
    ids: list[UUID] = []
    while priority <= LOWEST_PRIORITY and len(ids) < limit:
        values = {"priority": priority, "after": after, "since": progress["since"], "limit": limit - len(ids)}
        batch = sorted((await session.execute(RESET_BATCH, values)).scalars())
        ids += batch
        if len(batch) < values["limit"]:
            priority, after = priority + 1, MIN_ID
        else:
            after = batch[-1]
    return await _save_progress(session, ids, priority, after)


async def _save_progress(session: AsyncSession, ids: list[UUID], priority: int, after: UUID) -> RecoveredBatch:
    is_last = priority > LOWEST_PRIORITY
    values: dict[str, Any] = {"priority": priority, "after": after, "count": len(ids), "is_last": is_last}
    row = (await session.execute(SAVE_PROGRESS, {**values, "channel": DISPATCH_CHANNEL})).mappings().one()
    return RecoveredBatch(ids=ids, done=row["recovery_done"], total=row["recovery_total"], is_last=is_last)


async def count_unstarted(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Return how many of them are still to be started."""
    return int((await session.execute(COUNT_UNSTARTED, {"ids": list(ids)})).scalar_one())


SELECT_HOLD = statement("engine_state/select_hold")
SELECT_NOW = text("SELECT clock_timestamp()")
BEGIN_HOLD = statement("engine_state/begin_hold")
RELEASE_HOLD = statement("engine_state/release_hold")

NotificationGeneration = tuple[UUID, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class StartHold:
    """`since` is when the first process started with it."""

    name: str
    since: datetime
    in_force: bool


async def read_hold(session: Executor) -> StartHold | None:
    """Return the last one; None before the first."""
    row = (await session.execute(SELECT_HOLD)).mappings().one_or_none()
    return None if row is None or row["name"] is None else StartHold(**row)


async def begin_hold(session: Executor, name: str) -> None:
    """Hold everything under this name. Does nothing if that is the name of the last hold, released or not."""
    await session.execute(INSERT_STATE)
    at: datetime = (await session.execute(SELECT_NOW)).scalar_one()
    await session.execute(BEGIN_HOLD, {"name": name, "at": at, "before": first_id_at(at)})


async def release_hold(session: Executor, name: str) -> int | None:
    """End the hold, and start again what the database says was started: Temporal has workflows of a later state.
    Return how many notifications that are; None if no hold of this name is in force. In a transaction of the caller."""
    released = (await session.execute(RELEASE_HOLD, {"name": name, "channel": DISPATCH_CHANNEL})).first()
    return None if released is None else await begin_recovery(session)


SELECT_WORKFLOW_CLEANUP = statement("engine_state/select_workflow_cleanup")
RECORD_WORKFLOWS_ENDED = text("UPDATE engine_state SET workflows_ended_at = :at WHERE id = 1")
SELECT_UNKNOWN = statement("engine_state/select_unknown")


async def find_pending_workflow_cleanup(session: Executor) -> datetime | None:
    """Return the time of the restore if workflows of unknown notifications from before it are still to be ended."""
    at: datetime | None = (await session.execute(SELECT_WORKFLOW_CLEANUP)).scalar_one_or_none()
    return at


async def record_workflows_ended(session: Executor, at: datetime) -> None:
    """Record that the workflows were ended for the restore at time `at`."""
    await session.execute(RECORD_WORKFLOWS_ENDED, {"at": at})


async def find_unknown(
    session: Executor, notifications: Sequence[NotificationGeneration]
) -> list[NotificationGeneration]:
    """Return those of these notifications and generations of which there is no row."""
    values = {"ids": [id for id, _ in notifications], "generations": [generation for _, generation in notifications]}
    return [(row.id, row.generation) for row in await session.execute(SELECT_UNKNOWN, values)]
