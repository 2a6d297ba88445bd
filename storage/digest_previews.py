"""Into which digest window a notification that is not stored would fall. Called by dry runs of sends."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from domain.digests import DigestItem, DigestMember, DigestWindow
from storage.digest_closing import member_of
from storage.statements import Executor, statement

SELECT_OPEN_WINDOW = statement("digest_collection/select_open_window")
SELECT_WAITING_ITEMS = statement("digest_collection/select_waiting_items")
SELECT_MEMBERS = text("""
SELECT id, event_payload, priority, cancel_requested_at IS NOT NULL AS canceled, expires_at, channels, tags
  FROM notification
 WHERE tenant = :tenant AND (digest_id = :window OR id = ANY(:ids)) AND digest_key IS NOT NULL AND finished_at IS NULL
 ORDER BY id
""")


async def find_open_window(session: Executor, tenant: UUID, group: str) -> DigestWindow | None:
    row = (await session.execute(SELECT_OPEN_WINDOW, {"tenant": tenant, "group": group})).mappings().one_or_none()
    return None if row is None else DigestWindow(**row)


async def list_waiting_items(session: Executor, tenant: UUID, group: str, at: datetime) -> list[DigestItem]:
    """Those that are collected before one that comes `at` this moment, in their order."""
    rows = await session.execute(SELECT_WAITING_ITEMS, {"tenant": tenant, "group": group, "at": at})
    return [DigestItem(**{name: row[name] for name in DigestItem.__slots__}) for row in rows.mappings()]


async def list_members(session: Executor, tenant: UUID, window: UUID, ids: Sequence[UUID]) -> list[DigestMember]:
    """Those of the window, and those of `ids` that are still to be collected."""
    rows = await session.execute(SELECT_MEMBERS, {"tenant": tenant, "window": window, "ids": list(ids)})
    return [member_of(row) for row in rows.mappings()]
