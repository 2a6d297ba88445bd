"""Close windows: their items become one notification, and the collected notifications end.

Called by the workflow of the digest, by ticks, by a flush, and for windows that an item has filled.

Locks are taken in this order: windows, their people as `accept` locks them, their items. An erasure has the last two in
the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.digests import DigestMember, MergedItems, merge_items
from domain.durations import parse_duration
from domain.json_types import JsonObject
from domain.names import derived_id, timed_id
from domain.statuses import NotificationStatus
from storage import recipients
from storage.acceptance import NewNotification, accept
from storage.database import to_json
from storage.rows import decoded
from storage.statements import statement


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


LOCK_WINDOWS = text("""
SELECT d.id, d.tenant, d.notification_type, d.type_id, d.recipient_id, t.spec->>'expires_in' AS expires_in,
       d.closes_at, clock_timestamp() AS at
  FROM digest d JOIN notification_type t ON t.id = d.type_id
 WHERE d.id = ANY(:ids) AND d.closed_at IS NULL ORDER BY d.id FOR UPDATE OF d
""")
LOCK_MEMBERS = text("""
SELECT id, digest_id, event_payload, priority, cancel_requested_at IS NOT NULL AS canceled, expires_at, channels, tags
  FROM notification WHERE digest_id = ANY(:ids) AND digest_key IS NOT NULL AND finished_at IS NULL
 ORDER BY id FOR UPDATE
""")
END_MEMBERS = statement("digest_closing/end_members")
CLOSE_WINDOWS = text("""
UPDATE digest d SET closed_at = :at, item_count = x.item_count, notification_id = x.made
  FROM jsonb_to_recordset(CAST(:closed AS jsonb)) AS x(id uuid, item_count int, made uuid) WHERE d.id = x.id
""")


async def close_windows(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Close windows in the caller's transaction. Return how many became a notification, without those that were already
    closed or are empty."""
    if not ids:
        return 0
    closing = [ClosingWindow(**row) for row in (await session.execute(LOCK_WINDOWS, {"ids": list(ids)})).mappings()]
    if not closing:
        return 0
    at = closing[0].at
    for tenant in sorted({window.tenant for window in closing}):
        recipient_ids = {window.recipient_id for window in closing if window.tenant == tenant}
        await recipients.lock_known(session, tenant, list(recipient_ids))
    members = await _read_members(session, [window.id for window in closing])
    folded = {window.id: merge_items(members.get(window.id, []), at) for window in closing}
    created = await _create_notifications(session, closing, folded)
    await _end_members(session, folded, created, at)
    rows = [{"id": id, "item_count": len(merged.items), "made": created.get(id)} for id, merged in folded.items()]
    await session.execute(CLOSE_WINDOWS, {"closed": to_json(rows), "at": at})
    return len(created)


async def _read_members(session: AsyncSession, ids: list[UUID]) -> dict[UUID, list[DigestMember]]:
    found: dict[UUID, list[DigestMember]] = {}
    for row in (await session.execute(LOCK_MEMBERS, {"ids": ids})).mappings():
        found.setdefault(row["digest_id"], []).append(member_of(row))
    return found


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


async def _create_notifications(
    session: AsyncSession, closing: list[ClosingWindow], folded: dict[UUID, MergedItems]
) -> dict[UUID, UUID]:
    """Create the notification of each window that has items, unless its recipient no longer exists."""
    new: dict[UUID, list[NewNotification]] = {}
    for window in closing:
        if folded[window.id].items:
            new.setdefault(window.tenant, []).append(_build_notification(window, folded[window.id]))
    created: dict[UUID, UUID] = {}
    for tenant, items in new.items():
        accepted = await accept(session, tenant, items)
        created |= {item.digest_id: item.id for item in items if item.digest_id and accepted[item.id].created_at}
    return created


def _build_notification(digest: ClosingWindow, folded: MergedItems) -> NewNotification:
    """Build the notification. Its id derives from the time at which the window ended, so it is the same after a restore
    unless the window ended early."""
    return NewNotification(
        id=timed_id(min(digest.closes_at, digest.at), "digest", digest.id),
        recipient_id=digest.recipient_id,
        notification_type=digest.notification_type,
        type_id=digest.type_id,
        event_payload=folded.payload,
        priority=folded.priority,
        channels=None if folded.channels is None else list(folded.channels),
        tags=folded.tags,
        expires_in=parse_duration(digest.expires_in) if digest.expires_in else None,
        digest_id=digest.id,
    )


async def _end_members(
    session: AsyncSession, folded: dict[UUID, MergedItems], created: dict[UUID, UUID], at: datetime
) -> None:
    ends: list[JsonObject] = []
    for digest, window in folded.items():
        ends += [_member_end(id, status, created.get(digest)) for id, status in window.ends.items()]
    if ends:
        await session.execute(END_MEMBERS, {"ends": to_json(ends), "at": at})


def _member_end(id: UUID, status: NotificationStatus, created: UUID | None) -> JsonObject:
    """Return the end of a collected notification. Without a digest it is canceled: the recipient was erased."""
    if status is NotificationStatus.DIGESTED and created is None:
        status = NotificationStatus.CANCELED
    folded = status is NotificationStatus.DIGESTED
    reason = {NotificationStatus.CANCELED: "canceled", NotificationStatus.EXPIRED: "expired"}.get(status)
    return {
        "id": id,
        "status": status,
        "reason": reason,
        "event_id": derived_id("digested", id),
        "made": created if folded else None,
    }
