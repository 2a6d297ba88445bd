"""Write, list, count and mark the messages of a recipient's inbox."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cursors import Cursor
from domain.evidence import ReceiptKind, Reporter
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from storage import receipts
from storage.database import Database, to_json
from storage.statements import decoded, statement


class InboxMark(StrEnum):
    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredInboxMessage:
    id: UUID
    recipient_id: str
    notification_id: UUID
    content: Json
    created_at: datetime
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None


# Ids are those of deliveries and do not sort by time.
SELECT_PAGE = statement("inbox/select_page")

COUNT_UNREAD = text("""
SELECT count(*) FROM inbox_message
 WHERE tenant = :tenant AND recipient_id = :recipient_id AND read_at IS NULL AND archived_at IS NULL
""")

# The first time counts; what was read has been seen.
SAVE_MARK = {
    InboxMark.SEEN: statement("inbox/mark_seen"),
    InboxMark.READ: statement("inbox/mark_read"),
    InboxMark.ARCHIVED: statement("inbox/mark_archived"),
}
MARK_BATCH_READ = statement("inbox/mark_batch_read")


async def list_page(
    session: AsyncSession,
    tenant: UUID,
    recipient_id: str,
    *,
    limit: int,
    before: Cursor | None = None,
    archived: bool = False,
) -> list[StoredInboxMessage]:
    """Return a page of messages, newest first. `before` is the time and id of the last one of the page before."""
    at, id = before or (None, None)
    values = {"tenant": tenant, "recipient_id": recipient_id, "limit": limit, "at": at, "id": id, "archived": archived}
    return [_item_of(row) for row in (await session.execute(SELECT_PAGE, values)).mappings()]


async def count_unread(session: AsyncSession, tenant: UUID, recipient_id: str) -> int:
    count: int = (await session.execute(COUNT_UNREAD, {"tenant": tenant, "recipient_id": recipient_id})).scalar_one()
    return count


async def set_mark(session: AsyncSession, tenant: UUID, id: UUID, mark: InboxMark) -> StoredInboxMessage | None:
    """Mark the message and return it as it is now, or None if the tenant has no message with this id. Reading is
    reported as an opening."""
    row = (await session.execute(SAVE_MARK[mark], {"tenant": tenant, "id": id})).mappings().one_or_none()
    if row is None:
        return None
    if mark is InboxMark.READ:
        await _report_opened(session, tenant, {row["id"]: row["notification_id"]})
    return _item_of(row)


async def mark_batch_read(
    session: AsyncSession, tenant: UUID, recipient_id: str, before: Cursor | None, limit: int
) -> list[Cursor]:
    """Mark up to `limit` messages as read, the newest first, and report each as an opening. Return their places, the
    last one at the end."""
    at, id = before or (None, None)
    values = {"tenant": tenant, "recipient_id": recipient_id, "at": at, "id": id, "limit": limit}
    rows = (await session.execute(MARK_BATCH_READ, values)).all()
    await _report_opened(session, tenant, {row.id: row.notification_id for row in rows})
    return sorted((Cursor(row.created_at, row.id) for row in rows), reverse=True)


async def _report_opened(session: AsyncSession, tenant: UUID, notification_ids: dict[UUID, UUID]) -> None:
    """Store a receipt for each message. `notification_ids` is by the id of the message, which is that of its
    delivery."""
    deliveries = await receipts.find_sent_deliveries(session, tenant, list(notification_ids.values()))
    read = [delivery for delivery in deliveries if delivery.delivery_id in notification_ids]
    await receipts.store_application_receipts(session, read, ReceiptKind.OPENED, Reporter.INBOX)


def _item_of(row: Any) -> StoredInboxMessage:
    return StoredInboxMessage(**{**row, "content": decoded(row["content"])})


INSERT_MESSAGE = text("""
INSERT INTO inbox_message (id, tenant, recipient_id, notification_id, content, created_at)
SELECT :id, tenant, recipient_id, :notification_id, CAST(:content AS jsonb), now() FROM recipient
 WHERE tenant = :tenant AND recipient_id = :recipient_id FOR KEY SHARE
ON CONFLICT (id) DO NOTHING
""")


class InboxStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, message: OutgoingMessage) -> None:
        values = {
            "id": message.delivery_id,
            "tenant": message.tenant,
            "recipient_id": message.recipient_id,
            "notification_id": message.notification_id,
            "content": to_json(message.content),
        }
        async with self._database.transaction() as session:
            await session.execute(INSERT_MESSAGE, values)
