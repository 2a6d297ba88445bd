"""Puts accepted notifications that are to be collected into their windows. Called by `dispatch/digests.py`.

A lock admits one process at a time, because the window of an item depends on earlier items. While it waits for a window
it holds no other lock: a transaction that closes the window may wait for an erasure, and the erasure for an item."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cron import parse_cron
from domain.cursors import MIN_ID
from domain.digests import CollectResult, DigestItem, DigestMember, DigestWindow, collect_items
from domain.json_types import Json
from domain.local_times import known_zone_or_utc
from domain.names import DIGEST_DUE, DISPATCH_CHANNEL, QUEUE_DUE, derived_id
from domain.notification_types import NotificationType
from domain.recurrence import next_due
from domain.timing import DigestRule
from models.columns import new_id
from storage.database import to_json
from storage.digest_closing import member_of
from storage.statements import Executor, statement

LoadNotificationType = Callable[[UUID, UUID], Awaitable[NotificationType]]

LOCK_COLLECTION = statement("digest_collection/lock_collection")
SELECT_WAITING = statement("digest_collection/select_waiting")
HAS_WORK = statement("digest_collection/has_work")
LOCK_OPEN_WINDOWS = text("""
SELECT tenant, digest_key, id, type_id, opened_at, closes_at, closes_by, item_count, item_bytes, closes_on_schedule
  FROM digest
 WHERE closed_at IS NULL AND NOT is_full AND (tenant, digest_key) IN (
       SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:groups AS text[]))) ORDER BY id FOR UPDATE
""")
LOCK_ITEMS = statement("digest_collection/lock_items")
SAVE_WINDOWS = statement("digest_collection/save_windows")
JOIN_MEMBERS = statement("digest_collection/join_members")
# Sends an item alone, as if its type collected nothing.
RELEASE_ITEMS = statement("digest_collection/release_items")
NOTIFY_QUEUE = {"channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
NOTIFY_DIGESTS = {"channel": DISPATCH_CHANNEL, "due": DIGEST_DUE}
WINDOW_COLUMNS = (
    *("id", "type_id", "opened_at", "closes_at", "closes_by", "item_count", "item_bytes", "closes_on_schedule"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingGroup:
    """Hold the items that wait for one window, in the order of their arrival."""

    tenant: UUID
    key: str
    notification_type: str
    recipient_id: str
    items: tuple[DigestItem, ...]


GroupWindow = tuple[WaitingGroup, DigestWindow]


async def has_work(session: Executor) -> bool:
    """Return whether an item waits for its window, or a window is full."""
    return bool((await session.execute(HAS_WORK)).scalar_one())


async def collect_waiting(session: AsyncSession, load_type: LoadNotificationType, limit: int) -> int:
    """Collect waiting items and return how many. A full window is marked to be closed, and the next item opens the next
    window."""
    await session.execute(LOCK_COLLECTION)
    waiting = (await session.execute(SELECT_WAITING, {"limit": limit})).mappings().all()
    open_windows = await _lock_open_windows(session, {(row["tenant"], row["digest_key"]) for row in waiting})
    groups = _group_items((await session.execute(LOCK_ITEMS, {"ids": [row["id"] for row in waiting]})).mappings())
    results = [
        (group, await _collect_group(load_type, group, open_windows.get((group.tenant, group.key)))) for group in groups
    ]
    await _save_windows(session, [(group, window) for group, collected in results for window in collected.windows])
    await _release_items(
        session, load_type, [(group, each.released) for group, each in results if each.released is not None]
    )
    return sum(len(group.items) for group in groups)


async def _collect_group(
    load_type: LoadNotificationType, group: WaitingGroup, window: DigestWindow | None
) -> CollectResult:
    return collect_items(await _digest_rule(load_type, group), window, group.items, new_id)


async def _digest_rule(load_type: LoadNotificationType, group: WaitingGroup) -> DigestRule:
    """Return the rule of the newest type version under which an item of the group was accepted."""
    rule = (await load_type(group.tenant, group.items[-1].type_id)).timing.digest
    if rule is None:
        raise LookupError(f"{group.notification_type} collects nothing")
    return rule


async def _lock_open_windows(
    session: AsyncSession, groups: set[tuple[UUID, str]]
) -> dict[tuple[UUID, str], DigestWindow]:
    values = {"tenants": [tenant for tenant, _ in groups], "groups": [key for _, key in groups]}
    rows = [dict(row) for row in (await session.execute(LOCK_OPEN_WINDOWS, values)).mappings()]
    return {(row.pop("tenant"), row.pop("digest_key")): DigestWindow(**row) for row in rows}


async def _save_windows(session: AsyncSession, group_windows: list[GroupWindow]) -> None:
    if not group_windows:
        return
    await session.execute(
        SAVE_WINDOWS, {"windows": to_json([_window_row(*each) for each in group_windows]), **NOTIFY_DIGESTS}
    )
    members = [(window.id, id) for _, window in group_windows for id in window.members]
    if members:
        rows = [{"id": id, "digest_id": of, "event_id": derived_id("collected", id, of)} for of, id in members]
        await session.execute(JOIN_MEMBERS, {"members": to_json(rows)})


async def _release_items(
    session: AsyncSession, load_type: LoadNotificationType, released: list[tuple[WaitingGroup, DigestItem]]
) -> None:
    """Release items. An item without its own expiry gets the one that its type gives a notification that is sent
    alone."""
    rows = []
    for group, item in released:
        expires_in = (await load_type(group.tenant, item.type_id)).expires_in
        seconds = None if expires_in is None else expires_in.total_seconds()
        rows.append({"id": item.id, "at": item.at, "expires_in": seconds})
    if rows:
        await session.execute(RELEASE_ITEMS, {"released": to_json(rows), **NOTIFY_QUEUE})


def _window_row(group: WaitingGroup, window: DigestWindow) -> Json:
    return {
        "tenant": group.tenant,
        "notification_type": group.notification_type,
        "recipient_id": group.recipient_id,
        "digest_key": group.key,
        "is_full": window.is_full,
        **{name: getattr(window, name) for name in WINDOW_COLUMNS},
    }


def _group_items(rows: Any) -> list[WaitingGroup]:
    by_group: dict[tuple[UUID, str], list[Any]] = {}
    for row in rows:
        by_group.setdefault((row["tenant"], row["digest_key"]), []).append(row)
    return [
        WaitingGroup(
            tenant=tenant,
            key=key,
            notification_type=waiting[0]["notification_type"],
            recipient_id=waiting[0]["recipient_id"],
            items=tuple(DigestItem(**{name: row[name] for name in DigestItem.__slots__}) for row in waiting),
        )
        for (tenant, key), waiting in sorted(by_group.items())
    ]


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
    """Return the items that are collected before one that arrives at `at`, in order."""
    rows = await session.execute(SELECT_WAITING_ITEMS, {"tenant": tenant, "group": group, "at": at})
    return [DigestItem(**{name: row[name] for name in DigestItem.__slots__}) for row in rows.mappings()]


async def list_members(session: Executor, tenant: UUID, window: UUID, ids: Sequence[UUID]) -> list[DigestMember]:
    """Return the members of the window, and those items of `ids` that are not collected yet."""
    rows = await session.execute(SELECT_MEMBERS, {"tenant": tenant, "window": window, "ids": list(ids)})
    return [member_of(row) for row in rows.mappings()]


LOCK_COLLECTION_SHARED = statement("digest_collection/lock_collection_shared")
LOCK_CALENDAR_WINDOWS = statement("digest_collection/lock_calendar_windows")
SAVE_CLOSING_TIMES = text("""
UPDATE digest d SET closes_at = x.closes_at
  FROM jsonb_to_recordset(CAST(:moved AS jsonb)) AS x(id uuid, closes_at timestamptz) WHERE d.id = x.id
""")


async def update_closing_times(session: AsyncSession, tenant: UUID, recipient_id: str) -> None:
    """Set when the open windows of a recipient close, after its time zone has changed."""
    which = {"tenant": tenant, "recipient_id": recipient_id, "after": MIN_ID, "limit": None}
    await _update_closing_times(session, which)


async def update_closing_times_of_tenant(session: AsyncSession, tenant: UUID, after: UUID, limit: int) -> UUID | None:
    """Update the next `limit` windows of recipients that use the tenant's time zone, which has changed. Return the last
    window, or None at the end."""
    which = {"tenant": tenant, "recipient_id": None, "after": after, "limit": limit}
    windows = await _update_closing_times(session, which)
    return windows[-1] if len(windows) == limit else None


async def _update_closing_times(session: AsyncSession, which: dict[str, Any]) -> list[UUID]:
    """Return the ids of the windows that were read."""
    await session.execute(LOCK_COLLECTION_SHARED)
    rows = (await session.execute(LOCK_CALENDAR_WINDOWS, which)).mappings().all()
    plans = [
        {"id": row["id"], "closes_at": next_due(parse_cron(row["schedule"]), known_zone_or_utc(row["zone"]), row["at"])}
        for row in rows
        if row["schedule"]
    ]
    if plans:
        await session.execute(SAVE_CLOSING_TIMES, {"moved": to_json(plans)})
    return [row["id"] for row in rows]
