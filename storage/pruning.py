"""Removal of old rows that belong to no notification, in small batches. Called by `dispatch/pruning.py`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from metrics.engine import ReachedLimit, count_limit_reached
from storage.database import Database
from storage.pruned_counts import record_pruned
from storage.retention import first_id_at
from storage.statements import Executor

# Applied, or matching nothing for so long that they are tried no more.
RECEIPT_RETENTION = timedelta(days=30)
RUN_RETENTION = timedelta(days=90)
AUDIT_RETENTION = timedelta(days=400)
SANDBOX_RETENTION = timedelta(days=90)  # also tests that skip weeks look at what was sent

QUERY_CANCELED = "57014"
SET_TIMEOUT = text("SET LOCAL statement_timeout = '5s'")
DELETE_OLD = """
WITH old AS (
  SELECT id FROM {table} WHERE {old} ORDER BY {order} LIMIT :limit FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM {table} t USING old WHERE t.id = old.id RETURNING 1
)
SELECT count(*) FROM deleted
"""


def _build_delete(table: str, *, order: str, old: str | None = None) -> TextClause:
    return text(DELETE_OLD.format(table=table, order=order, old=old or f"{order} < :before"))


# These ids begin with their time, by the clock of the machine: they are read from the oldest on. What counts is the
# column, whose clock tests can move.
OLD_BY_ID = "id < :before_id AND {at} < :before"
RETENTION_BY_TABLE: dict[str, tuple[timedelta, TextClause]] = {
    "receipt": (
        RECEIPT_RETENTION,
        _build_delete("receipt", order="received_at", old="received_at < :before AND next_attempt_at IS NULL"),
    ),
    "multi_send": (timedelta(), _build_delete("multi_send", order="expires_at")),
    "audit_entry": (AUDIT_RETENTION, _build_delete("audit_entry", order="id", old=OLD_BY_ID.format(at="at"))),
    "schedule_run": (RUN_RETENTION, _build_delete("schedule_run", order="finished_at")),
    "sandbox_receipt": (SANDBOX_RETENTION, _build_delete("sandbox_receipt", order="posted_at")),
    "sandbox_call": (SANDBOX_RETENTION, _build_delete("sandbox_call", order="id", old=OLD_BY_ID.format(at="at"))),
    "sandbox_message": (
        SANDBOX_RETENTION,
        _build_delete("sandbox_message", order="id", old=OLD_BY_ID.format(at="accepted_at")),
    ),
}


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[AsyncSession]:
    """Begin a transaction whose statements end after 5 s. One that is ended so is counted."""
    try:
        async with database.transaction() as session:
            await session.execute(SET_TIMEOUT)
            yield session
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == QUERY_CANCELED:
            count_limit_reached(ReachedLimit.PRUNING_TIME)
        raise


async def prune_table(session: Executor, table: str, at: datetime, limit: int) -> int:
    """Delete up to `limit` old rows of a table in KEPT. Return how many."""
    max_age, statement = RETENTION_BY_TABLE[table]
    values: dict[str, Any] = {"before": at - max_age, "limit": limit}
    if "before_id" in statement.text:
        values["before_id"] = first_id_at(at - max_age)
    deleted = int((await session.execute(statement, values)).scalar_one())
    await record_pruned(session, table, deleted)
    return deleted
