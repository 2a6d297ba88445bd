"""Delete old rows in small batches, and count them by table. Called by `dispatch/pruning.py`.

Notifications are deleted by tenant: first the content, then the rows. Both read the index of a tenant's notifications
from the oldest on. Ids of notifications begin with the time of their acceptance, and only old ones are read, so that
no row of a send under way is touched.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, CursorResult, Uuid, any_, delete, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

import models  # noqa: F401 - fills SQLModel.metadata
from domain.cursors import MIN_ID, first_id_at
from metrics.engine import PrunedTable, ReachedLimit, count_limit_reached, count_pruned_rows
from storage.database import Database
from storage.statements import Executor, statement

# A notification that ended late is found by the next pass.
PASS_INTERVAL = timedelta(days=7)

SELECT_NEXT_TENANT = statement("retention/select_next_tenant")
SAVE_PROGRESS = statement("retention/save_progress")
# Both leave to a later pass the notifications that are open or have ended since.
SELECT_CONTENT_PAGE = statement("retention/select_content_page")
SELECT_RECORD_PAGE = statement("retention/select_record_page")
# A notification that is redriven after the page was read keeps its content.
REMOVE_PAYLOAD = statement("retention/remove_payload")
REMOVE_DELIVERY_CONTENT = (
    statement("retention/remove_delivery_content"),
    # A callback often quotes the address that it is about.
    statement("retention/remove_receipt_content"),
    text("""
UPDATE attempt SET provider_response = NULL WHERE notification_id = ANY(:ids) AND provider_response IS NOT NULL
"""),
)
LOCK_FINISHED = text("""
SELECT id FROM notification WHERE id = ANY(:ids) AND finished_at IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED
""")
DELETE_DIGESTS = statement("retention/delete_digests")
# With their events, which quote them.
DELETE_INBOUND_MESSAGES = statement("retention/delete_inbound_messages")
ADD_COUNT = statement("retention/add_count")
# In this order: each row is deleted before those that it refers to.
TABLES = (
    *("event", "attempt", "inbox_message", "throttle_queue_entry", "attachment_use", "queue_entry", "delivery"),
    "notification",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantRetention:
    """Hold for how many days a tenant's notifications and their content are kept. The content of the notifications up
    to `content_after` has been removed."""

    id: UUID
    at: datetime
    content_days: int
    record_days: int
    content_after: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunedPage:
    """Hold the last notification that was read, or None if no further one is old enough, and the number of pruned
    ones."""

    last: UUID | None
    pruned: int


async def find_next_tenant(session: Executor, after: UUID) -> TenantRetention | None:
    """Return the next tenant after `after`, or None after the last one."""
    values = {"after": after, "pass_every": PASS_INTERVAL.total_seconds()}
    row = (await session.execute(SELECT_NEXT_TENANT, values)).mappings().one_or_none()
    return None if row is None else TenantRetention(**{**row, "content_after": row["content_after"] or MIN_ID})


async def remove_content(
    session: Executor, tenant: UUID, ended_before: datetime, after: UUID, limit: int
) -> PrunedPage:
    """Read up to `limit` notifications after `after`. Remove the content of those that ended before `ended_before`."""
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
        for name in TABLES:
            table = SQLModel.metadata.tables[name]
            key = table.c.id if name == "notification" else table.c.notification_id
            of_batch = key == any_(literal(ids, ARRAY(Uuid)))
            await record_pruned(session, name, _count(await session.execute(delete(table).where(of_batch))))
    return PrunedPage(last=last, pruned=len(ids))


async def delete_digests(session: Executor, tenant: UUID, ended_before: datetime, limit: int) -> int:
    """Delete closed windows whose notifications have been deleted. Return how many."""
    values = {"tenant": tenant, "before": first_id_at(ended_before), "ended_before": ended_before, "limit": limit}
    deleted = int((await session.execute(DELETE_DIGESTS, values)).scalar_one())
    await record_pruned(session, "digest", deleted)
    return deleted


async def delete_inbound_messages(session: Executor, tenant: UUID, received_before: datetime, limit: int) -> int:
    """Delete messages of recipients that were received before this time. Return how many."""
    values = {"tenant": tenant, "before": first_id_at(received_before), "limit": limit}
    deleted = int((await session.execute(DELETE_INBOUND_MESSAGES, values)).scalar_one())
    await record_pruned(session, "inbound_message", deleted)
    return deleted


async def _select_page(
    session: Executor, statement: Any, tenant: UUID, ended_before: datetime, after: UUID, limit: int
) -> tuple[Sequence[UUID], UUID | None]:
    values = {"tenant": tenant, "after": after, "before": first_id_at(ended_before), "ended_before": ended_before}
    rows = (await session.execute(statement, {**values, "limit": limit})).mappings()
    page = [(row["id"], row["old"]) for row in rows]
    return [id for id, is_old in page if is_old], page[-1][0] if len(page) == limit else None


RECEIPT_RETENTION = timedelta(days=30)
RUN_RETENTION = timedelta(days=90)
AUDIT_RETENTION = timedelta(days=400)
SANDBOX_RETENTION = timedelta(days=90)  # also tests that skip weeks look at what was sent

QUERY_CANCELED = "57014"
SET_TIMEOUT = text("SET LOCAL statement_timeout = '5s'")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRetention:
    """Rows of a table are deleted `max_age` after the time in the column `at`. With `has_timed_id` their ids begin with
    their time by the clock of the machine, and they are read from the smallest id on. What counts is the column, whose
    clock tests can move."""

    max_age: timedelta
    at: str
    has_timed_id: bool = False


RETENTION_BY_TABLE = {
    "receipt": RowRetention(max_age=RECEIPT_RETENTION, at="received_at"),
    "multi_send": RowRetention(max_age=timedelta(), at="expires_at"),
    "audit_entry": RowRetention(max_age=AUDIT_RETENTION, at="at", has_timed_id=True),
    "schedule_run": RowRetention(max_age=RUN_RETENTION, at="finished_at"),
    "sandbox_receipt": RowRetention(max_age=SANDBOX_RETENTION, at="posted_at"),
    "sandbox_call": RowRetention(max_age=SANDBOX_RETENTION, at="at", has_timed_id=True),
    "sandbox_message": RowRetention(max_age=SANDBOX_RETENTION, at="accepted_at", has_timed_id=True),
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


async def prune_table(session: Executor, name: str, at: datetime, limit: int) -> int:
    """Delete up to `limit` old rows of a table in RETENTION_BY_TABLE. Return how many."""
    table, retention = SQLModel.metadata.tables[name], RETENTION_BY_TABLE[name]
    before = at - retention.max_age
    query = select(table.c.id).where(table.c[retention.at] < before)
    if retention.has_timed_id:
        query = query.where(table.c.id < first_id_at(before)).order_by(table.c.id)
    else:
        query = query.order_by(table.c[retention.at])
    if name == "receipt":  # keeps receipts that are still to be applied
        query = query.where(table.c.next_attempt_at.is_(None))
    old = query.limit(limit).with_for_update(skip_locked=True).cte("old")
    deleted = _count(await session.execute(delete(table).where(table.c.id == old.c.id)))
    await record_pruned(session, name, deleted)
    return deleted


def _count(result: Any) -> int:
    return cast(CursorResult[Any], result).rowcount


async def record_pruned(session: Executor, name: str, rows: int) -> None:
    """Add to the count of a table in the transaction that removes the rows, and to the metric of this process."""
    if rows:
        await session.execute(ADD_COUNT, {"name": name, "rows": rows})
        count_pruned_rows(PrunedTable(name), rows)
