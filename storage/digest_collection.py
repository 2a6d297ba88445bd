"""Puts accepted notifications that are to be collected into their windows. Called by `dispatch/digests.py`.

One process at a time, by a lock on the whole: which window an item falls into depends on those before it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.digests import Item, Window, collect
from domain.names import DIGEST_DUE, DISPATCH_CHANNEL, PACED_DUE, derived_id
from domain.notification_types import NotificationType
from domain.timing import Digest
from models.columns import new_id
from storage import digest_closing
from storage.database import to_json
from storage.digests import COLLECTION
from storage.rows import Json

Kinds = Callable[[UUID, UUID], Awaitable[NotificationType]]

ALONE = text(f"SELECT pg_advisory_xact_lock({COLLECTION})")
WAITING = text("""
SELECT n.tenant, n.digest_group, n.id, n.notification_type, n.type_id, n.recipient_id,
       greatest(n.created_at, n.send_at) AS at, octet_length(n.event_payload::text) AS bytes,
       COALESCE(r.timezone, t.timezone) AS zone
  FROM notification n
  JOIN tenant t ON t.id = n.tenant
  LEFT JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 WHERE n.digest_group IS NOT NULL AND n.digest_id IS NULL AND n.finished_at IS NULL AND n.dispatch_at <= now()
 ORDER BY n.dispatch_at, n.id LIMIT :limit FOR UPDATE OF n SKIP LOCKED
""")
OPEN = text("""
SELECT tenant, group_key, id, type_id, opened_at, closes_at, closes_by, items, bytes, calendar FROM digest
 WHERE closed_at IS NULL AND (tenant, group_key) IN (
       SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:groups AS text[]))) ORDER BY id FOR UPDATE
""")
SAVE = text("""
WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS x(
    id uuid, tenant uuid, notification_type text, type_id uuid, recipient_id text, group_key text, calendar bool,
    items int, bytes int, opened_at timestamptz, closes_at timestamptz, closes_by timestamptz)
)
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, group_key, calendar, items, bytes, opened_at,
       closes_at, closes_by, told_at)
SELECT id, tenant, notification_type, type_id, recipient_id, group_key, calendar, items, bytes, opened_at, closes_at,
       closes_by, CASE WHEN calendar THEN now() END FROM item
ON CONFLICT (id) DO UPDATE SET type_id = EXCLUDED.type_id, items = EXCLUDED.items, bytes = EXCLUDED.bytes,
       closes_at = EXCLUDED.closes_at
RETURNING pg_notify(:channel, :due)::text
""")
JOIN = text("""
WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:members AS jsonb)) AS x(id uuid, digest_id uuid, event_id uuid)
), joined AS (
  UPDATE notification n SET digest_id = item.digest_id, revision = n.revision + 1
    FROM item WHERE n.id = item.id RETURNING n.id, n.tenant, n.digest_id, item.event_id
)
INSERT INTO event (id, tenant, notification_id, at, kind, detail)
SELECT j.event_id, j.tenant, j.id, clock_timestamp(), 'collected',
       jsonb_build_object('digest_id', j.digest_id,
                          'closes_at', to_char(d.closes_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
  FROM joined j JOIN digest d ON d.id = j.digest_id
ON CONFLICT (id) DO NOTHING
""")
# It goes out by itself, as if it were of a type that collects nothing.
RELEASE = text("""
UPDATE notification SET digest_group = NULL, dispatch_at = now() WHERE id = ANY(:ids)
RETURNING pg_notify(:channel, :due)::text
""")
TELL = {"channel": DISPATCH_CHANNEL, "due": DIGEST_DUE}
SAVED = ("id", "type_id", "opened_at", "closes_at", "closes_by", "items", "bytes", "calendar")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """What waits for one window, in the order in which it came."""

    tenant: UUID
    key: str
    notification_type: str
    recipient_id: str
    items: tuple[Item, ...]


Filled = tuple[Group, Window]


async def collect_waiting(session: AsyncSession, kinds: Kinds, limit: int) -> int:
    """How many were taken. A window that is full is closed at once, and the next item opens the next one."""
    await session.execute(ALONE)
    groups = _groups((await session.execute(WAITING, {"limit": limit})).mappings())
    known = await _open(session, groups)
    still_open: list[Filled] = []
    released: list[UUID] = []
    for group in groups:
        done = collect(await _rule(kinds, group), known.get((group.tenant, group.key)), group.items, new_id)
        for window in done.windows:
            if window.full:
                await _save(session, [(group, window)])
                await digest_closing.close(session, [window.id])
            else:
                still_open.append((group, window))
        released += [done.released] if done.released else []
    await _save(session, still_open)
    if released:
        await session.execute(RELEASE, {"ids": released, "channel": DISPATCH_CHANNEL, "due": PACED_DUE})
    return sum(len(group.items) for group in groups)


async def _rule(kinds: Kinds, group: Group) -> Digest:
    """Of the newest version that any of them was accepted under."""
    rule = (await kinds(group.tenant, group.items[-1].type_id)).timing.digest
    if rule is None:
        raise LookupError(f"{group.notification_type} collects nothing")
    return rule


async def _open(session: AsyncSession, groups: list[Group]) -> dict[tuple[UUID, str], Window]:
    values = {"tenants": [group.tenant for group in groups], "groups": [group.key for group in groups]}
    rows = [dict(row) for row in (await session.execute(OPEN, values)).mappings()]
    return {(row.pop("tenant"), row.pop("group_key")): Window(**row) for row in rows}


async def _save(session: AsyncSession, filled: list[Filled]) -> None:
    if not filled:
        return
    await session.execute(SAVE, {"windows": to_json([_row(*each) for each in filled]), **TELL})
    members = [(window.id, id) for _, window in filled for id in window.members]
    if members:
        rows = [{"id": id, "digest_id": of, "event_id": derived_id("collected", id, of)} for of, id in members]
        await session.execute(JOIN, {"members": to_json(rows)})


def _row(group: Group, window: Window) -> Json:
    return {
        "tenant": group.tenant,
        "notification_type": group.notification_type,
        "recipient_id": group.recipient_id,
        "group_key": group.key,
        "calendar": window.calendar,
        **{name: getattr(window, name) for name in SAVED},
    }


def _groups(rows: Any) -> list[Group]:
    by_group: dict[tuple[UUID, str], list[Any]] = {}
    for row in rows:
        by_group.setdefault((row["tenant"], row["digest_group"]), []).append(row)
    return [
        Group(
            tenant=tenant,
            key=key,
            notification_type=waiting[0]["notification_type"],
            recipient_id=waiting[0]["recipient_id"],
            items=tuple(Item(**{name: row[name] for name in Item.__slots__}) for row in waiting),
        )
        for (tenant, key), waiting in sorted(by_group.items())
    ]
