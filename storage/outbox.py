"""List the messages of the sandbox together with inbox rows. Called by the outbox's route and page, in dev only."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cursors import Cursor
from domain.json_types import JsonObject
from storage.encryption import Encryption, encryption_of
from storage.rows import decoded
from storage.sandbox import secret_owner_of


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxEntry:
    """`generation` completes the id of the workflow that sent it."""

    id: UUID
    channel: str
    recipient_id: str
    notification_id: UUID
    generation: int
    address: JsonObject
    content: JsonObject
    accepted_at: datetime


SELECT_PAGE = text("""
SELECT m.id, m.tenant, m.channel, m.recipient_id, m.notification_id, COALESCE(d.generation, 1) AS generation, m.address,
       m.content, m.accepted_at
  FROM (
    SELECT id, tenant, channel, recipient_id, notification_id, delivery_id, address, content, accepted_at
      FROM sandbox_message
    UNION ALL
    SELECT id, tenant, 'in_app', recipient_id, notification_id, id, '{}', content, created_at FROM inbox_message
  ) m LEFT JOIN delivery d ON d.id = m.delivery_id AND d.tenant = m.tenant
 WHERE (CAST(:tenant AS uuid) IS NULL OR m.tenant = :tenant)
   AND (CAST(:recipient_id AS text) IS NULL OR m.recipient_id = :recipient_id)
   AND (CAST(:channel AS text) IS NULL OR m.channel = :channel)
   AND (CAST(:at AS timestamptz) IS NULL OR (m.accepted_at, m.id) < (:at, CAST(:id AS uuid)))
 ORDER BY m.accepted_at DESC, m.id DESC LIMIT :limit
""")


async def list_page(
    session: AsyncSession,
    tenant: UUID | None,
    *,
    recipient_id: str | None = None,
    channel: str | None = None,
    limit: int,
    before: Cursor | None = None,
) -> list[OutboxEntry]:
    """Newest first. Without a tenant those of all: for the page on a developer's own machine and nothing else."""
    at, id = before or (None, None)
    values = {"tenant": tenant, "recipient_id": recipient_id, "channel": channel, "limit": limit, "at": at, "id": id}
    encryption = encryption_of(session)
    return [_entry_of(encryption, dict(row)) for row in (await session.execute(SELECT_PAGE, values)).mappings()]


def _entry_of(encryption: Encryption, row: JsonObject) -> OutboxEntry:
    owner = secret_owner_of(row.pop("tenant"), row["id"])
    address = encryption.readable_members(decoded(row["address"]), owner)
    return OutboxEntry(**{**row, "address": address, "content": decoded(row["content"])})
