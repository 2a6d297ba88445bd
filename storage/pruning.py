"""Removal of old rows that belong to no notification, in small batches. Called by `dispatch/pruning.py`."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, text

from storage.pruned_counts import note_pruned
from storage.retention import id_at
from storage.statements import Executor

# Applied, or matching nothing for so long that they are tried no more.
RECEIPTS_KEPT = timedelta(days=30)
RUNS_KEPT = timedelta(days=90)
SANDBOX_KEPT = timedelta(days=90)  # also tests that skip weeks look at what was sent

TIMEOUT = text("SET LOCAL statement_timeout = '5s'")
DELETE = """
WITH old AS (
  SELECT id FROM {table} WHERE {old} ORDER BY {order} LIMIT :limit FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {table} t USING old WHERE t.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""


def _delete(table: str, *, order: str, old: str | None = None) -> TextClause:
    return text(DELETE.format(table=table, order=order, old=old or f"{order} < :before"))


# Ids of calls and messages begin with their time.
KEPT: dict[str, tuple[timedelta, TextClause]] = {
    "receipt": (
        RECEIPTS_KEPT,
        _delete("receipt", order="received_at", old="received_at < :before AND next_try_at IS NULL"),
    ),
    "schedule_run": (RUNS_KEPT, _delete("schedule_run", order="finished_at")),
    "sandbox_receipt": (SANDBOX_KEPT, _delete("sandbox_receipt", order="posted_at")),
    "sandbox_call": (SANDBOX_KEPT, _delete("sandbox_call", order="id")),
    "sandbox_message": (SANDBOX_KEPT, _delete("sandbox_message", order="id")),
}
BY_ID = ("sandbox_call", "sandbox_message")


async def limit_time(session: Executor) -> None:
    """End a statement of this transaction after 5 s."""
    await session.execute(TIMEOUT)


async def prune(session: Executor, table: str, at: datetime, limit: int) -> int:
    """Delete up to `limit` old rows of a table in KEPT. Return how many."""
    kept, statement = KEPT[table]
    before: Any = id_at(at - kept) if table in BY_ID else at - kept
    gone = int((await session.execute(statement, {"before": before, "limit": limit})).scalar_one())
    await note_pruned(session, table, gone)
    return gone
