"""Close digest windows: make one notification of the items of each, and end the collected notifications.

Locks are taken in this order: windows, their recipients as `accept` locks them, their items. An erasure takes the last
two in the same order.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
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
from storage.statements import decoded, statement


class ItemsNotCollected(Exception):
    """Items that a due window may contain have not been collected, such as after an outage of all workers."""


# Whether every item of the tenant that was accepted before the window's end has been collected. Reads the first 100
# entries that wait: a window that ends after the last of them has to wait too.
HAS_ALL_ITEMS = """
digest.closes_at <= COALESCE((
  SELECT next_at FROM queue_entry WHERE tenant = :tenant AND state = 'collecting'
   ORDER BY next_at, notification_id OFFSET 99 LIMIT 1), 'infinity')
AND NOT EXISTS (
  SELECT FROM (
    SELECT notification_id, next_at FROM queue_entry WHERE tenant = :tenant AND state = 'collecting'
     ORDER BY next_at, notification_id LIMIT 100) waiting
    JOIN notification n ON n.id = waiting.notification_id
   WHERE n.digest_key = digest.digest_key AND waiting.next_at < digest.closes_at)
"""
# How long after its end a window that waits for items is looked at again: as long as it has waited, within these.
MIN_RETRY, MAX_RETRY = timedelta(seconds=1), timedelta(seconds=30)


async def close_group(session: AsyncSession, tenant: UUID, digest_key: str) -> datetime | None:
    """Close the open window of a group if it has ended and has all its items. Return when to try again if it stays
    open, else None."""
    found = select(col(Digest.id), col(Digest.closes_at), func.clock_timestamp()).where(
        Digest.tenant == tenant,
        Digest.digest_key == digest_key,
        col(Digest.closed_at).is_(None),
        col(Digest.is_full).is_(False),
    )
    row = (await session.execute(found.with_for_update())).one_or_none()
    if row is None:
        return None
    id: UUID = row[0]
    closes_at: datetime = row[1]
    at: datetime = row[2]
    if at < closes_at:
        return closes_at
    if not await _has_all_items(session, tenant, id):
        return at + min(max(at - closes_at, MIN_RETRY), MAX_RETRY)
    await close_window(session, id)
    return None


async def _has_all_items(session: AsyncSession, tenant: UUID, id: UUID) -> bool:
    """Return whether a locked window has all its items. A statement of its own sees what was collected before the
    lock."""
    found = select(Digest.id).where(Digest.id == id, text(HAS_ALL_ITEMS))
    return (await session.execute(found, {"tenant": tenant})).first() is not None


async def close_due(session: AsyncSession, tenant: UUID, notification_type: str) -> int:
    """Close one window of a type that closes by the calendar. Return 0 if none is due. Other processes that close at
    the same time take other windows. Raise ItemsNotCollected if a due window waits for items."""
    due = select(Digest.id).where(
        Digest.tenant == tenant,
        Digest.notification_type == notification_type,
        col(Digest.closed_at).is_(None),
        Digest.closes_on_schedule,
        Digest.closes_at <= func.now(),
    )
    first = due.where(text(HAS_ALL_ITEMS)).order_by(col(Digest.closes_at)).limit(1)
    # A window that is locked for a moment, such as by a change of its time zone, is not left for the next tick.
    for skip_locked in (True, False):
        found = await session.execute(first.with_for_update(skip_locked=skip_locked), {"tenant": tenant})
        id = found.scalar_one_or_none()
        if id is not None:
            await close_window(session, id)
            return 1
    if (await session.execute(due.limit(1))).first() is not None:
        raise ItemsNotCollected(f"a digest of {notification_type} waits for items; the tick is retried")
    return 0


async def close_unlocked_window(session: AsyncSession, id: UUID) -> bool:
    """Close a window unless it is closed already, another transaction has locked it to close it, or it is not full and
    waits for items. Return whether it was closed."""
    found = select(col(Digest.tenant), col(Digest.is_full)).where(Digest.id == id, col(Digest.closed_at).is_(None))
    row = (await session.execute(found.with_for_update(skip_locked=True))).one_or_none()
    if row is None or not (row.is_full or await _has_all_items(session, row.tenant, id)):
        return False
    await close_window(session, id)
    return True


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
END_MEMBERS = statement("digest_closing/end_members")
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
