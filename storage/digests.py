"""Read due digest windows: to signal their workflows, to list them and to flush them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cron import parse_cron
from domain.local_times import known_zone_or_utc
from domain.recurrence import next_due
from storage import digest_closing
from storage.database import to_json
from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedDigestWindow:
    id: UUID
    notification_type: str
    recipient_id: str
    item_count: int
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None
    notification_id: UUID | None
    digest_key: str
    closes_on_schedule: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingWindow:
    """A window whose workflow does not know of it yet."""

    id: UUID
    tenant: UUID
    tenant_key: str
    notification_type: str
    digest_key: str
    closes_at: datetime


SELECT_PENDING = statement("digests/select_pending")
MARK_SIGNALED = text("UPDATE digest SET signaled_at = now() WHERE id = ANY(:ids)")
LOCK_OPEN_OF_GROUP = text("""
SELECT id, closes_at, closes_at <= clock_timestamp() AS due FROM digest
 WHERE tenant = :tenant AND digest_key = :digest_key AND closed_at IS NULL AND NOT is_full FOR UPDATE
""")
LOCK_DUE_OF_TYPE = text("""
SELECT id FROM digest
 WHERE tenant = :tenant AND notification_type = :notification_type AND closed_at IS NULL
   AND closes_on_schedule AND closes_at <= now()
 ORDER BY closes_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")
# What was locked for a moment, such as by a person who moves, is not left for the next tick.
WAIT_FOR_DUE_OF_TYPE = statement("digests/wait_for_due_of_type")
LOCK_ONE_OPEN = text("SELECT id FROM digest WHERE id = :id AND closed_at IS NULL FOR UPDATE SKIP LOCKED")
SELECT_FULL = statement("digests/select_full")
# So many seconds late. What closes by the calendar may wait for its tick for longer.
SELECT_OVERDUE = {
    False: statement("digests/select_overdue"),
    True: statement("digests/select_overdue_on_schedule"),
}
SELECT_PAGE = statement("digests/select_page")
SELECT_ONE = statement("digests/select_one")


async def list_pending_windows(session: Executor, limit: int) -> list[PendingWindow]:
    return [PendingWindow(**row) for row in (await session.execute(SELECT_PENDING, {"limit": limit})).mappings()]


async def mark_signaled(session: Executor, signaled: list[PendingWindow]) -> None:
    await session.execute(MARK_SIGNALED, {"ids": [digest.id for digest in signaled]})


async def close_group(session: AsyncSession, tenant: UUID, digest_key: str) -> datetime | None:
    """Close the open window of a group if it is due, and return None. If it is not due, return when it will be. Return
    None if no window is open."""
    values = {"tenant": tenant, "digest_key": digest_key}
    row = (await session.execute(LOCK_OPEN_OF_GROUP, values)).mappings().one_or_none()
    if row is None:
        return None
    if not row["due"]:
        closes_at: datetime = row["closes_at"]
        return closes_at
    await digest_closing.close_windows(session, [row["id"]])
    return None


async def close_due(session: AsyncSession, tenant: UUID, notification_type: str) -> int:
    """Close one window of a type that closes by the calendar. Return 0 if none is due. Other processes that close at
    the same time take other windows."""
    values = {"tenant": tenant, "notification_type": notification_type}
    for lock_due in (LOCK_DUE_OF_TYPE, WAIT_FOR_DUE_OF_TYPE):
        id = (await session.execute(lock_due, values)).scalar_one_or_none()
        if id is not None:
            await digest_closing.close_windows(session, [id])
            return 1
    return 0


async def list_full_windows(session: Executor, limit: int) -> list[UUID]:
    """Return full windows to close one by one, round-robin among tenants."""
    return list((await session.execute(SELECT_FULL, {"limit": limit})).scalars())


async def list_overdue_windows(session: Executor, windowed: float, scheduled: float, limit: int) -> list[UUID]:
    """Return windows that are so many seconds late, round-robin among tenants.

    Their workflow or tick is missing, for example after the loss of Temporal's store."""
    found: list[UUID] = []
    for on_schedule, late in ((False, windowed), (True, scheduled)):
        values = {"late": late, "limit": limit}
        found += (await session.execute(SELECT_OVERDUE[on_schedule], values)).scalars()
    return found


async def close_window(session: AsyncSession, id: UUID) -> bool:
    """False: it is closed already, or another process is about to close it."""
    if (await session.execute(LOCK_ONE_OPEN, {"id": id})).scalar_one_or_none() is None:
        return False
    await digest_closing.close_windows(session, [id])
    return True


async def list_page(
    session: AsyncSession,
    tenant: UUID,
    *,
    is_open: bool,
    recipient_id: str | None,
    notification_type: str | None,
    before: UUID | None,
    limit: int,
) -> list[ListedDigestWindow]:
    """Newest first."""
    values = {"recipient_id": recipient_id, "notification_type": notification_type, "before": before, "limit": limit}
    rows = await session.execute(SELECT_PAGE, {"tenant": tenant, "open": is_open, **values})
    return [ListedDigestWindow(**row) for row in rows.mappings()]


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> ListedDigestWindow | None:
    row = (await session.execute(SELECT_ONE, {"tenant": tenant, "id": id})).mappings().one_or_none()
    return None if row is None else ListedDigestWindow(**row)


LOCK_COLLECTION_SHARED = statement("digests/lock_collection_shared")
LOCK_CALENDAR_WINDOWS = statement("digests/lock_calendar_windows")
SAVE_CLOSING_TIMES = text("""
UPDATE digest d SET closes_at = x.closes_at
  FROM jsonb_to_recordset(CAST(:moved AS jsonb)) AS x(id uuid, closes_at timestamptz) WHERE d.id = x.id
""")


MIN_ID = UUID(int=0)


async def update_closing_times(session: AsyncSession, tenant: UUID, recipient_id: str) -> None:
    """Set the next times of a recipient whose zone has changed."""
    await _update_closing_times(
        session, {"tenant": tenant, "recipient_id": recipient_id, "after": MIN_ID, "limit": None}
    )


async def update_closing_times_of_tenant(session: AsyncSession, tenant: UUID, after: UUID, limit: int) -> UUID | None:
    """Update the next `limit` windows of recipients that use the tenant's time zone, which has changed. Return the last
    window, or None at the end."""
    windows = await _update_closing_times(
        session, {"tenant": tenant, "recipient_id": None, "after": after, "limit": limit}
    )
    return windows[-1] if len(windows) == limit else None


async def _update_closing_times(session: AsyncSession, which: dict[str, Any]) -> list[UUID]:
    """Return the windows that were looked at."""
    await session.execute(LOCK_COLLECTION_SHARED)
    rows = (await session.execute(LOCK_CALENDAR_WINDOWS, which)).mappings().all()
    plans = [
        {"id": row["id"], "closes_at": next_due(parse_cron(row["schedule"]), known_zone_or_utc(row["zone"]), row["at"])}
        for row in rows
        if row["schedule"]
    ]
    if plans:
        await session.execute(SAVE_CLOSING_TIMES, {"moved": to_json(plans)})
    return [row["id"] for row in rows]
