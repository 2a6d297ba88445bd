"""Into which digest window a notification that is not stored would fall. Called by dry runs of sends."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from domain.digests import Item, Member, Window
from storage.digest_closing import member_of
from storage.digest_collection import IN_ORDER, ITEM_ROWS, SAVED
from storage.statements import Executor

OPEN = text(f"""
SELECT {", ".join(SAVED)} FROM digest
 WHERE tenant = :tenant AND group_key = :group AND closed_at IS NULL AND NOT filled AND closes_at > clock_timestamp()
 ORDER BY closes_at DESC LIMIT 1
""")  # noqa: S608 - constants of our own
WAITING = text(f"""
{ITEM_ROWS}
 WHERE q.tenant = :tenant AND q.state = 'collecting' AND q.next_at <= :at AND n.digest_group = :group {IN_ORDER}
""")
MEMBERS = text("""
SELECT id, event_payload, priority, cancel_requested_at IS NOT NULL AS canceled, expires_at, channels, tags
  FROM notification
 WHERE tenant = :tenant AND (digest_id = :window OR id = ANY(:ids)) AND digest_group IS NOT NULL AND finished_at IS NULL
 ORDER BY id
""")


async def open_window(session: Executor, tenant: UUID, group: str) -> Window | None:
    row = (await session.execute(OPEN, {"tenant": tenant, "group": group})).mappings().one_or_none()
    return None if row is None else Window(**row)


async def waiting_items(session: Executor, tenant: UUID, group: str, at: datetime) -> list[Item]:
    """Those that are collected before one that comes `at` this moment, in their order."""
    rows = await session.execute(WAITING, {"tenant": tenant, "group": group, "at": at})
    return [Item(**{name: row[name] for name in Item.__slots__}) for row in rows.mappings()]


async def members(session: Executor, tenant: UUID, window: UUID, ids: Sequence[UUID]) -> list[Member]:
    """Those of the window, and those of `ids` that are still to be collected."""
    rows = await session.execute(MEMBERS, {"tenant": tenant, "window": window, "ids": list(ids)})
    return [member_of(row) for row in rows.mappings()]
