"""Delete old rows in small batches, and count them by table. Called by `dispatch/pruning.py`.

Notifications are deleted by tenant: first the content, then the rows. Both read the index of a tenant's notifications
from the oldest on. Ids of notifications begin with the time of their acceptance, and only old ones are read, so that
no row of a send under way is touched.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from metrics.engine import PrunedTable, ReachedLimit, count_limit_reached, count_pruned_rows
from storage.database import Database
from storage.statements import Executor

MIN_ID = UUID(int=0)
# A notification that ended late is found by the next pass.
PASS_INTERVAL = timedelta(days=7)

SELECT_NEXT_TENANT = text("""
SELECT t.id, now() AS at, t.content_days, t.record_days,
       CASE WHEN p.pass_started_at > now() - make_interval(secs => :pass_every) THEN p.content_after
       END AS content_after
  FROM tenant t LEFT JOIN retention_pass p ON p.tenant = t.id WHERE t.id > :after ORDER BY t.id LIMIT 1
""")
SAVE_PROGRESS = text("""
INSERT INTO retention_pass AS p (tenant, content_after, pass_started_at) VALUES (:tenant, :after, now())
ON CONFLICT (tenant) DO UPDATE SET content_after = EXCLUDED.content_after,
       pass_started_at = CASE WHEN p.content_after <= EXCLUDED.content_after THEN p.pass_started_at ELSE now() END
""")

# What is open, or has ended since, is left to a later pass.
SELECT_PAGE = """
SELECT id, COALESCE(finished_at < :ended_before{more}, false) AS old FROM notification
 WHERE tenant = :tenant AND id > :after AND id < :before ORDER BY id LIMIT :limit
"""
SELECT_CONTENT_PAGE = text(SELECT_PAGE.format(more=" AND content_removed_at IS NULL"))
SELECT_RECORD_PAGE = text(SELECT_PAGE.format(more=""))

# Fenced: what is sent again since it was read keeps its content.
REMOVE_PAYLOAD = text("""
UPDATE notification SET event_payload = '{}', content_removed_at = now(), holds_idempotency_key = false
 WHERE id = ANY(:ids) AND finished_at IS NOT NULL RETURNING id
""")
REMOVE_DELIVERY_CONTENT = (
    text("""
UPDATE delivery SET rendered_content = NULL, provider_response = NULL
 WHERE notification_id = ANY(:ids) AND (rendered_content IS NOT NULL OR provider_response IS NOT NULL)
"""),
    # A callback often quotes the address that it is about.
    text("""
UPDATE receipt r SET raw = '{}' FROM attempt a
 WHERE a.notification_id = ANY(:ids) AND r.raw <> '{}' AND (r.attempt_id = a.id
       OR (r.provider = a.provider AND r.provider_message_id = a.provider_message_id))
"""),
    text("""
UPDATE attempt SET provider_response = NULL WHERE notification_id = ANY(:ids) AND provider_response IS NOT NULL
"""),
)

LOCK_FINISHED = text("""
SELECT id FROM notification WHERE id = ANY(:ids) AND finished_at IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED
""")
# In this order: each row goes before those that it points to.
TABLES = ("event", "attempt", "inbox_message", "throttle_queue_entry", "queue_entry", "delivery")
DELETE_BY_TABLE = {
    table: text(f"""
WITH deleted AS (
  DELETE FROM {table} WHERE {"id" if table == "notification" else "notification_id"} = ANY(:ids) RETURNING 1
)
SELECT count(*) FROM deleted
""")  # noqa: S608 - constants of our own
    for table in (*TABLES, "notification")
}
DELETE_DIGESTS = text("""
WITH old AS (
  SELECT id FROM digest d WHERE tenant = :tenant AND id < :before AND closed_at < :ended_before
     AND NOT EXISTS (SELECT FROM notification n WHERE n.digest_id = d.id) ORDER BY id LIMIT :limit
), deleted AS (
  DELETE FROM digest d USING old WHERE d.id = old.id RETURNING 1
)
SELECT count(*) FROM deleted
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantRetention:
    """What is kept of a tenant's notifications for how many days. `content_after`: the content of all up to this one
    has been removed."""

    id: UUID
    at: datetime
    content_days: int
    record_days: int
    content_after: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunedPage:
    """`last` is None at the end of what is old enough."""

    last: UUID | None
    pruned: int


async def find_next_tenant(session: Executor, after: UUID) -> TenantRetention | None:
    """None behind the last one."""
    values = {"after": after, "pass_every": PASS_INTERVAL.total_seconds()}
    row = (await session.execute(SELECT_NEXT_TENANT, values)).mappings().one_or_none()
    return None if row is None else TenantRetention(**{**row, "content_after": row["content_after"] or MIN_ID})


async def remove_content(
    session: Executor, tenant: UUID, ended_before: datetime, after: UUID, limit: int
) -> PrunedPage:
    """Look at up to `limit` notifications behind `after`; remove the content of those that ended before a moment."""
    found, last = await _select_page(session, SELECT_CONTENT_PAGE, tenant, ended_before, after, limit)
    emptied_ids = list((await session.execute(REMOVE_PAYLOAD, {"ids": found})).scalars()) if found else []
    if emptied_ids:
        for statement in REMOVE_DELIVERY_CONTENT:
            await session.execute(statement, {"ids": emptied_ids})
    await record_pruned(session, "notification_content", len(emptied_ids))
    await session.execute(SAVE_PROGRESS, {"tenant": tenant, "after": last or after})
    return PrunedPage(last=last, pruned=len(emptied_ids))


async def delete_records(
    session: Executor, tenant: UUID, ended_before: datetime, after: UUID, limit: int
) -> PrunedPage:
    """Delete all rows of notifications that ended before this time, one page at a time."""
    found, last = await _select_page(session, SELECT_RECORD_PAGE, tenant, ended_before, after, limit)
    ids = list((await session.execute(LOCK_FINISHED, {"ids": found})).scalars()) if found else []
    if ids:
        for table, statement in DELETE_BY_TABLE.items():
            await record_pruned(session, table, (await session.execute(statement, {"ids": ids})).scalar_one())
    return PrunedPage(last=last, pruned=len(ids))


async def delete_digests(session: Executor, tenant: UUID, ended_before: datetime, limit: int) -> int:
    """Delete closed windows whose notifications have been deleted. Return how many."""
    values = {"tenant": tenant, "before": first_id_at(ended_before), "ended_before": ended_before, "limit": limit}
    deleted = int((await session.execute(DELETE_DIGESTS, values)).scalar_one())
    await record_pruned(session, "digest", deleted)
    return deleted


async def _select_page(
    session: Executor, statement: Any, tenant: UUID, ended_before: datetime, after: UUID, limit: int
) -> tuple[Sequence[UUID], UUID | None]:
    values = {"tenant": tenant, "after": after, "before": first_id_at(ended_before), "ended_before": ended_before}
    rows = (await session.execute(statement, {**values, "limit": limit})).mappings()
    page = [(row["id"], row["old"]) for row in rows]
    return [id for id, is_old in page if is_old], page[-1][0] if len(page) == limit else None


def first_id_at(moment: datetime) -> UUID:
    """Return the first UUIDv7 of a moment."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


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


ADD_COUNT = text("""
INSERT INTO pruned_count AS p (name, rows) VALUES (:name, :rows)
ON CONFLICT (name) DO UPDATE SET rows = p.rows + EXCLUDED.rows
""")
SELECT_COUNTS = text("SELECT name, rows FROM pruned_count ORDER BY name")


async def record_pruned(session: Executor, name: str, rows: int) -> None:
    """Add to the count of a table in the transaction that removes the rows, and to the metric of this process."""
    if rows:
        await session.execute(ADD_COUNT, {"name": name, "rows": rows})
        count_pruned_rows(PrunedTable(name), rows)


async def read_pruned_counts(session: Executor) -> dict[str, int]:
    """Return the rows removed since the installation, by table; by `notification_content` those that were emptied."""
    return {row["name"]: row["rows"] for row in (await session.execute(SELECT_COUNTS)).mappings()}
