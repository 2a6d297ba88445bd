"""Store what the processes know together of Temporal's store, in the row of `engine_state`.

Called by `dispatch/temporal_store_monitor.py`, and by the commands by which an operator looks at it or confirms it.
"""

from dataclasses import astuple, dataclass, fields
from datetime import datetime

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, STORE_DUE
from domain.temporal_stores import KnownNamespace, is_certain, observe_store
from models.queue import HAS_WORKFLOW
from storage.statements import Executor

KNOWN_STORE_FIELDS = tuple(field.name for field in fields(KnownNamespace))
COLUMNS = ", ".join(KNOWN_STORE_FIELDS)

INSERT_STATE = text("INSERT INTO engine_state (id) VALUES (1) ON CONFLICT (id) DO NOTHING")
SELECT_STATE = text(f"""
SELECT {COLUMNS}, recovery_since, recovery_total, recovery_done, recovered_at, clock_timestamp() AS at
  FROM engine_state WHERE id = 1
""")  # noqa: S608 - constants of our own
LOCK_STATE = text(f"{SELECT_STATE.text} FOR UPDATE")
SAVE_STATE = text(f"UPDATE engine_state SET ({COLUMNS}) = (:{', :'.join(KNOWN_STORE_FIELDS)}) WHERE id = 1")  # noqa: S608
# Ticks are those of the lost store: Temporal is to have all of them again.
RESET_TICKS = text("UPDATE tick SET synced_at = NULL")
BEGIN_RECOVERY = text(f"""
UPDATE engine_state SET recovery_since = clock_timestamp(), recovery_done = 0, recovery_priority = 1,
       recovery_after = NULL, recovered_at = NULL,
       recovery_total = (SELECT count(*) FROM queue_entry WHERE {HAS_WORKFLOW})
 WHERE id = 1 RETURNING recovery_total
""")  # noqa: S608 - a constant of our own
CONFIRM_REPLACEMENT = text("""
UPDATE engine_state SET confirmed_id = :id WHERE id = 1 AND namespace_id <> :id
RETURNING pg_notify(:channel, :due)::text
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryProgress:
    """Of the open notifications whose workflows were in a lost store. `finished_at` is None until all are due again."""

    since: datetime
    total: int
    done: int
    finished_at: datetime | None

    @property
    def left(self) -> int:
        """Some may have ended by themselves."""
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
    """None before any process has seen a store."""
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


async def _read_state(session: Executor, statement: object) -> StoreReport | None:
    row = (await session.execute(statement)).mappings().one_or_none()
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
