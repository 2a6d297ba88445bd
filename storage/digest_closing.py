"""Closes windows: their items become one notification, and its members end. Called by the digest's workflow, by ticks,
by whoever flushes one, and where an item has filled one.

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

from domain.digests import Folded, Member, fold
from domain.durations import parse_duration
from domain.names import derived_id, timed_id
from domain.statuses import NotificationStatus
from storage import recipients
from storage.acceptance import NewNotification, accept
from storage.database import to_json
from storage.event_outbox import EVENTS, FENCED, TOLD, WAKE
from storage.rows import Json, decoded
from storage.sealing import unseal


@dataclass(frozen=True, kw_only=True, slots=True)
class Closing:
    """`at` is now, by the database's clock; `closes_at` is later if the window is full or flushed."""

    id: UUID
    tenant: UUID
    notification_type: str
    type_id: UUID
    recipient_id: str
    expires_in: str | None
    closes_at: datetime
    at: datetime


LOCK = text("""
SELECT d.id, d.tenant, d.notification_type, d.type_id, d.recipient_id, t.spec->>'expires_in' AS expires_in,
       d.closes_at, clock_timestamp() AS at
  FROM digest d JOIN notification_type t ON t.id = d.type_id
 WHERE d.id = ANY(:ids) AND d.closed_at IS NULL ORDER BY d.id FOR UPDATE OF d
""")
MEMBERS = text("""
SELECT id, digest_id, event_payload, priority, cancel_requested_at IS NOT NULL AS canceled, expires_at, channels, tags
  FROM notification WHERE digest_id = ANY(:ids) AND digest_group IS NOT NULL AND finished_at IS NULL
 ORDER BY id FOR UPDATE
""")
END = text(f"""
WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:ends AS jsonb)) AS x(
    id uuid, status text, reason text, event_id uuid, made uuid)
), fenced AS (
  UPDATE notification n SET status = item.status, failure_reason = item.reason, finished_at = :at,
         failures = CASE WHEN item.reason IS NOT NULL THEN jsonb_build_array(jsonb_build_object(
           'channel', NULL, 'code', item.reason, 'args', jsonb_build_object())) END,
         revision = n.revision + 1
    FROM item WHERE n.id = item.id AND n.finished_at IS NULL
  RETURNING {", ".join(f"n.{name}" for name in FENCED.split(", "))}, item.event_id, item.made,
            NULL::text AS failure_category
), events AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, reason, detail, status)
  SELECT event_id, tenant, id, :at, lower(status), failure_reason,
         CASE WHEN made IS NOT NULL THEN jsonb_build_object('notification_id', made) END, status FROM fenced
  ON CONFLICT (id) DO NOTHING RETURNING {EVENTS}
), {TOLD}
SELECT count(*), {WAKE} FROM fenced
""")  # noqa: S608 - constants of our own
CLOSE = text("""
UPDATE digest d SET closed_at = :at, items = x.items, notification_id = x.made
  FROM jsonb_to_recordset(CAST(:closed AS jsonb)) AS x(id uuid, items int, made uuid) WHERE d.id = x.id
""")


async def close(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """In the caller's transaction. How many became a notification: not those that were closed before, or are empty."""
    if not ids:
        return 0
    closing = [Closing(**row) for row in (await session.execute(LOCK, {"ids": list(ids)})).mappings()]
    if not closing:
        return 0
    at = closing[0].at
    for tenant in sorted({each.tenant for each in closing}):
        people = {each.recipient_id for each in closing if each.tenant == tenant}
        await recipients.known(session, tenant, list(people))
    members = await _members(session, [each.id for each in closing])
    folded = {each.id: fold(members.get(each.id, []), at) for each in closing}
    made = await _make(session, closing, folded)
    await _end(session, folded, made, at)
    rows = [{"id": id, "items": len(fold.items), "made": made.get(id)} for id, fold in folded.items()]
    await session.execute(CLOSE, {"closed": to_json(rows), "at": at})
    return len(made)


async def _members(session: AsyncSession, ids: list[UUID]) -> dict[UUID, list[Member]]:
    found: dict[UUID, list[Member]] = {}
    for row in (await session.execute(MEMBERS, {"ids": ids})).mappings():
        found.setdefault(row["digest_id"], []).append(member_of(row))
    return found


def member_of(row: Any) -> Member:
    return Member(
        id=row["id"],
        payload=unseal(decoded(row["event_payload"])),
        priority=row["priority"],
        canceled=row["canceled"],
        expires_at=row["expires_at"],
        channels=None if row["channels"] is None else tuple(row["channels"]),
        tags=tuple(row["tags"]),
    )


async def _make(session: AsyncSession, closing: list[Closing], folded: dict[UUID, Folded]) -> dict[UUID, UUID]:
    """The notification of each window that has items; its person may be gone, and then there is none."""
    new: dict[UUID, list[NewNotification]] = {}
    for each in closing:
        if folded[each.id].items:
            new.setdefault(each.tenant, []).append(_notification(each, folded[each.id]))
    made: dict[UUID, UUID] = {}
    for tenant, items in new.items():
        accepted = await accept(session, tenant, items)
        made |= {item.digest_id: item.id for item in items if item.digest_id and accepted[item.id].created_at}
    return made


def _notification(digest: Closing, folded: Folded) -> NewNotification:
    """Its id is of the moment at which the window ended: that comes once, and is the same after a restore unless the
    window ended early."""
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


async def _end(session: AsyncSession, folded: dict[UUID, Folded], made: dict[UUID, UUID], at: datetime) -> None:
    ends: list[Json] = []
    for digest, each in folded.items():
        ends += [_row(id, status, made.get(digest)) for id, status in each.ends.items()]
    if ends:
        await session.execute(END, {"ends": to_json(ends), "at": at})


def _row(id: UUID, status: NotificationStatus, made: UUID | None) -> Json:
    """Nobody was there any more to send it to: then it was cancelled, as by the erasure."""
    if status is NotificationStatus.DIGESTED and made is None:
        status = NotificationStatus.CANCELED
    folded = status is NotificationStatus.DIGESTED
    reason = {NotificationStatus.CANCELED: "canceled", NotificationStatus.EXPIRED: "expired"}.get(status)
    return {
        "id": id,
        "status": status,
        "reason": reason,
        "event_id": derived_id("digested", id),
        "made": made if folded else None,
    }
