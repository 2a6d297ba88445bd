"""Digest windows: list those that are due, signal their workflows, and close them.

To close a window makes one notification of its items, and ends the collected notifications. Locks are taken in this
order: windows, their recipients as `accept` locks them, their items. An erasure has the last two in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.digests import DigestMember, MergedItems, merge_items
from domain.durations import parse_duration
from domain.json_types import Json
from domain.names import derived_id, timed_id
from domain.statuses import NotificationStatus
from models.digests import Digest
from storage import recipients
from storage.acceptance import NewNotification, accept
from storage.database import to_json
from storage.statements import Executor, decoded, statement


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
SELECT_FULL = statement("digests/select_full")
# So many seconds late. What closes by the calendar may wait for its tick for longer.
SELECT_OVERDUE = statement("digests/select_overdue")


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
    await close_window(session, row["id"])
    return None


async def close_due(session: AsyncSession, tenant: UUID, notification_type: str) -> int:
    """Close one window of a type that closes by the calendar. Return 0 if none is due. Other processes that close at
    the same time take other windows."""
    due = select(Digest.id).where(
        Digest.tenant == tenant,
        Digest.notification_type == notification_type,
        col(Digest.closed_at).is_(None),
        Digest.closes_on_schedule,
        Digest.closes_at <= func.now(),
    )
    first = due.order_by(col(Digest.closes_at)).limit(1)
    # A window that is locked for a moment, such as by a change of its time zone, is not left for the next tick.
    for skip_locked in (True, False):
        id = (await session.execute(first.with_for_update(skip_locked=skip_locked))).scalar_one_or_none()
        if id is not None:
            await close_window(session, id)
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
        values = {"on_schedule": on_schedule, "late": late, "limit": limit}
        found += (await session.execute(SELECT_OVERDUE, values)).scalars()
    return found


async def close_unlocked_window(session: AsyncSession, id: UUID) -> bool:
    """Return False if the window is closed already, or another transaction has locked it to close it."""
    found = select(Digest.id).where(Digest.id == id, col(Digest.closed_at).is_(None)).with_for_update(skip_locked=True)
    if (await session.execute(found)).scalar_one_or_none() is None:
        return False
    await close_window(session, id)
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
) -> Sequence[Digest]:
    """Return open or closed windows, newest first."""
    given = {"recipient_id": recipient_id, "notification_type": notification_type}
    page = select(Digest).filter_by(
        tenant=tenant, **{name: value for name, value in given.items() if value is not None}
    )
    page = page.where(col(Digest.closed_at).is_(None) if is_open else col(Digest.closed_at).is_not(None))
    if before is not None:
        page = page.where(col(Digest.id) < before)
    return (await session.execute(page.order_by(col(Digest.id).desc()).limit(limit))).scalars().all()


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> Digest | None:
    """Return the window as it is now, also if the session has read it before."""
    found = select(Digest).where(Digest.tenant == tenant, Digest.id == id).execution_options(populate_existing=True)
    return (await session.execute(found)).scalar_one_or_none()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosingWindow:
    """`at` is now, by the database's clock; `closes_at` is later if the window is full or flushed."""

    id: UUID
    tenant: UUID
    notification_type: str
    type_id: UUID
    recipient_id: str
    expires_in: str | None
    closes_at: datetime
    at: datetime


LOCK_WINDOW = text("""
SELECT d.id, d.tenant, d.notification_type, d.type_id, d.recipient_id, t.spec->>'expires_in' AS expires_in,
       d.closes_at, clock_timestamp() AS at
  FROM digest d JOIN notification_type t ON t.id = d.type_id WHERE d.id = :id AND d.closed_at IS NULL FOR UPDATE OF d
""")
LOCK_MEMBERS = text("""
SELECT id, event_payload, priority, cancel_requested_at IS NOT NULL AS canceled, expires_at, channels, tags
  FROM notification WHERE digest_id = :id AND digest_key IS NOT NULL AND finished_at IS NULL ORDER BY id FOR UPDATE
""")
END_MEMBERS = statement("digests/end_members")
CLOSE_WINDOW = text("UPDATE digest SET closed_at = :at, item_count = :items, notification_id = :made WHERE id = :id")


async def close_window(session: AsyncSession, id: UUID) -> bool:
    """Close the window in the caller's transaction. Return whether it became a notification: it does not if it was
    closed before or is empty, or if its recipient no longer exists."""
    row = (await session.execute(LOCK_WINDOW, {"id": id})).mappings().one_or_none()
    if row is None:
        return False
    window = ClosingWindow(**row)
    await recipients.lock_known(session, window.tenant, [window.recipient_id])
    members = (await session.execute(LOCK_MEMBERS, {"id": id})).mappings()
    merged = merge_items([member_of(member) for member in members], window.at)
    made = await _create_notification(session, window, merged) if merged.items else None
    if merged.ends:
        ends = [_member_end(member, status, made) for member, status in merged.ends.items()]
        await session.execute(END_MEMBERS, {"ends": to_json(ends), "at": window.at})
    await session.execute(CLOSE_WINDOW, {"id": id, "at": window.at, "items": len(merged.items), "made": made})
    return made is not None


def member_of(row: Any) -> DigestMember:
    return DigestMember(
        id=row["id"],
        payload=decoded(row["event_payload"]),
        priority=row["priority"],
        canceled=row["canceled"],
        expires_at=row["expires_at"],
        channels=None if row["channels"] is None else tuple(row["channels"]),
        tags=tuple(row["tags"]),
    )


async def _create_notification(session: AsyncSession, window: ClosingWindow, merged: MergedItems) -> UUID | None:
    """Create the digest's notification. Return its id, or None if the recipient no longer exists. The id derives from
    the time at which the window ended, so it is the same after a restore unless the window ended early."""
    id = timed_id(min(window.closes_at, window.at), "digest", window.id)
    new = NewNotification(
        id=id,
        recipient_id=window.recipient_id,
        notification_type=window.notification_type,
        type_id=window.type_id,
        event_payload=merged.payload,
        priority=merged.priority,
        channels=None if merged.channels is None else list(merged.channels),
        tags=merged.tags,
        expires_in=parse_duration(window.expires_in) if window.expires_in else None,
        digest_id=window.id,
    )
    accepted = await accept(session, window.tenant, [new], notify=True)
    return id if accepted[id].created_at else None


def _member_end(id: UUID, status: NotificationStatus, made: UUID | None) -> Json:
    """Return the end of a collected notification. Without a digest it is canceled: the recipient was erased."""
    if status is NotificationStatus.DIGESTED and made is None:
        status = NotificationStatus.CANCELED
    reason = {NotificationStatus.CANCELED: "canceled", NotificationStatus.EXPIRED: "expired"}.get(status)
    made = made if status is NotificationStatus.DIGESTED else None
    return {"id": id, "status": status, "reason": reason, "event_id": derived_id("digested", id), "made": made}
