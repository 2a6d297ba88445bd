"""The inbox of a person: its pages, its count of unread messages, and what was done with each. Called by the routes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.evidence import ReceiptKind, Reporter
from domain.places import Place
from storage import app_receipts
from storage.rows import decoded
from storage.sealing import Json, unseal


class Mark(StrEnum):
    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    id: UUID
    recipient_id: str
    notification_id: UUID
    content: Json
    created_at: datetime
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None


COLUMNS = "id, recipient_id, notification_id, content, created_at, seen_at, read_at, archived_at"

# Ids are those of deliveries and do not sort by time.
PAGE = text(f"""
SELECT {COLUMNS} FROM inbox_message
 WHERE tenant = :tenant AND recipient_id = :recipient_id AND (archived_at IS NOT NULL) = :archived
   AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (:at, CAST(:id AS uuid)))
 ORDER BY created_at DESC, id DESC LIMIT :limit
""")  # noqa: S608 - constants of our own

UNREAD = text("""
SELECT count(*) FROM inbox_message
 WHERE tenant = :tenant AND recipient_id = :recipient_id AND read_at IS NULL AND archived_at IS NULL
""")

# The first time counts; what was read has been seen.
SETS = {
    Mark.SEEN: "seen_at = COALESCE(seen_at, now())",
    Mark.READ: "seen_at = COALESCE(seen_at, now()), read_at = COALESCE(read_at, now())",
    Mark.ARCHIVED: "archived_at = COALESCE(archived_at, now())",
}
MARK = {
    mark: text(f"UPDATE inbox_message SET {sets} WHERE tenant = :tenant AND id = :id RETURNING {COLUMNS}")  # noqa: S608
    for mark, sets in SETS.items()
}
READ_BATCH = text(f"""
WITH unread AS (
  SELECT id FROM inbox_message
   WHERE tenant = :tenant AND recipient_id = :recipient_id AND read_at IS NULL AND archived_at IS NULL
     AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (:at, CAST(:id AS uuid)))
   ORDER BY created_at DESC, id DESC LIMIT :limit FOR UPDATE
)
UPDATE inbox_message m SET {SETS[Mark.READ]} FROM unread WHERE m.tenant = :tenant AND m.id = unread.id
RETURNING m.id, m.notification_id, m.created_at
""")  # noqa: S608


async def page(
    session: AsyncSession,
    tenant: UUID,
    recipient_id: str,
    *,
    limit: int,
    before: Place | None = None,
    archived: bool = False,
) -> list[Message]:
    """Newest first; `before` is the time and id of the last one of the page above."""
    at, id = before or (None, None)
    values = {"tenant": tenant, "recipient_id": recipient_id, "limit": limit, "at": at, "id": id, "archived": archived}
    return [_message(row) for row in (await session.execute(PAGE, values)).mappings()]


async def unread(session: AsyncSession, tenant: UUID, recipient_id: str) -> int:
    count: int = (await session.execute(UNREAD, {"tenant": tenant, "recipient_id": recipient_id})).scalar_one()
    return count


async def mark(session: AsyncSession, tenant: UUID, id: UUID, mark: Mark) -> Message | None:
    """The message as it is now; None if the tenant has none of this id. Reading is reported as an opening."""
    row = (await session.execute(MARK[mark], {"tenant": tenant, "id": id})).mappings().one_or_none()
    if row is None:
        return None
    if mark is Mark.READ:
        await _report_opened(session, tenant, {row["id"]: row["notification_id"]})
    return _message(row)


async def read_batch(
    session: AsyncSession, tenant: UUID, recipient_id: str, before: Place | None, limit: int
) -> list[Place]:
    """Mark up to `limit` messages as read, the newest first, and report each as an opening. Return their places, the
    last one at the end."""
    at, id = before or (None, None)
    values = {"tenant": tenant, "recipient_id": recipient_id, "at": at, "id": id, "limit": limit}
    rows = (await session.execute(READ_BATCH, values)).all()
    await _report_opened(session, tenant, {row.id: row.notification_id for row in rows})
    return sorted(((row.created_at, row.id) for row in rows), reverse=True)


async def _report_opened(session: AsyncSession, tenant: UUID, notification_ids: dict[UUID, UUID]) -> None:
    """By the id of the message, which is that of its delivery."""
    deliveries = await app_receipts.sent_deliveries(session, tenant, list(notification_ids.values()))
    read = [delivery for delivery in deliveries if delivery.delivery_id in notification_ids]
    await app_receipts.report(session, read, ReceiptKind.OPENED, Reporter.INBOX)


def _message(row: Any) -> Message:
    return Message(**{**row, "content": unseal(decoded(row["content"]))})
