"""Accepting notifications: one INSERT for one or a thousand, and the look-up that makes a repeat the same one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from domain.names import COLLECT_DUE, DISPATCH_CHANNEL, QUEUE_DUE
from domain.time_slices import in_slices
from storage.database import to_json
from storage.encryption import Encryption, encryption_of
from storage.multi_sends import hash_key
from storage.preferences import RecipientContext, recipient_context_of
from storage.recipients import contact_columns
from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class NewNotification:
    """`profile` is `{contact, locale, timezone, attributes}` with what the caller gave inline, or None. With a
    `digest_key` it is collected; `digest_id` is the window that it was made of, `schedule_id` the recurring send."""

    id: UUID
    recipient_id: str
    notification_type: str
    type_id: UUID
    event_payload: JsonObject
    priority: int
    profile: JsonObject | None = None
    channels: list[str] | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    idempotency_hash: str | None = None
    send_at: datetime | None = None
    expires_in: timedelta | None = None
    digest_key: str | None = None
    digest_id: UUID | None = None
    schedule_id: UUID | None = None
    cancel_key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptResult:
    """`created_at` is None when nothing was inserted: the key or the id is taken, the recipient is unknown, or would
    have more attributes than are stored."""

    id: UUID
    known_recipient: bool
    created_at: datetime | None = None
    expires_at: datetime | None = None
    attributes_too_large: bool = False


# A person given inline is written in the same statement; DISTINCT ON because one statement may touch a row once.
# Known people are locked against an erasure, which must find what is accepted for them.
ACCEPT_NOTIFICATIONS = statement("acceptance/accept_notifications")


NOTIFY_PARAMETERS = {
    "channel": DISPATCH_CHANNEL,
    "queue_due": QUEUE_DUE,
    "collect_due": COLLECT_DUE,
}


async def accept(
    session: AsyncSession, tenant: UUID, items: list[NewNotification], *, notify: bool = True
) -> dict[UUID, AcceptResult]:
    """Insert what can be; the answer is by id. Nothing is inserted for an unknown recipient or a taken key, and no item
    with attributes for a recipient who would have too many. Without `notify` the caller wakes the dispatchers."""
    rejected: dict[UUID, AcceptResult] = {}
    while any(map(_has_attributes, items)):
        savepoint = await session.begin_nested()
        rows = await _insert_items(session, tenant, items, notify=notify)
        oversized = {row["recipient_id"] for row in rows if row["too_large"]}
        excess = {item.id for item in items if item.recipient_id in oversized and _has_attributes(item)}
        if not excess:
            await savepoint.commit()
            return rejected | _results_by_id(rows)
        await savepoint.rollback()
        rejected |= {id: AcceptResult(id=id, known_recipient=True, attributes_too_large=True) for id in excess}
        items = [item for item in items if item.id not in excess]
    return rejected | (_results_by_id(await _insert_items(session, tenant, items, notify=notify)) if items else {})


async def accept_without_profiles(
    session: Executor, tenant: UUID, items: list[NewNotification], *, notify: bool = True
) -> dict[UUID, AcceptResult]:
    """Accept items without a profile, like `accept`, in one statement."""
    return _results_by_id(await _insert_items(session, tenant, items, notify=notify))


def _has_attributes(item: NewNotification) -> bool:
    return item.profile is not None and "attributes" in item.profile


async def _insert_items(
    session: Executor, tenant: UUID, items: list[NewNotification], *, notify: bool
) -> Sequence[Mapping[str, Any]]:
    items_json = await _items_to_json(encryption_of(session), tenant, items)
    values = {"tenant": tenant, "notify": notify, "items": items_json, **NOTIFY_PARAMETERS}
    return list((await session.execute(ACCEPT_NOTIFICATIONS, values)).mappings())


def _results_by_id(rows: Sequence[Mapping[str, Any]]) -> dict[UUID, AcceptResult]:
    names = ("id", "known_recipient", "created_at", "expires_at")
    return {row["id"]: AcceptResult(**{name: row[name] for name in names}) for row in rows}


async def _items_to_json(encryption: Encryption, tenant: UUID, items: list[NewNotification]) -> str:
    """Return a JSON array. Serializing megabytes in one call would block the event loop."""
    return f"[{','.join([to_json(item_columns(encryption, tenant, item)) async for item in in_slices(items)])}]"


def item_columns(encryption: Encryption, tenant: UUID, item: NewNotification) -> JsonObject:
    """Return the values of an item in the form that the statement reads, without those that are not given."""
    values: JsonObject = {name: getattr(item, name) for name in item.__slots__}
    values["expires_in"] = item.expires_in.total_seconds() if item.expires_in else None
    if item.profile is not None:
        contact = item.profile.get("contact", {})
        values["profile"] = {**item.profile, **contact_columns(encryption, tenant, item.recipient_id, contact)}
    return {name: value for name, value in values.items() if value is not None}


# A send to several recipients holds its key in a row of its own and by one of its notifications, with the same hash.
SELECT_KEY_HOLDERS = text("""
SELECT id, idempotency_key, idempotency_hash, notification_type, recipient_id, priority, created_at, send_at,
       expires_at, created_at < now() - make_interval(secs => :window) AS lapsed
  FROM notification WHERE tenant = :tenant AND holds_idempotency_key AND idempotency_key = ANY(:keys)
 UNION ALL
SELECT id, idempotency_key, idempotency_hash, NULL, NULL, NULL, created_at, NULL, expires_at, false
  FROM multi_send WHERE tenant = :tenant AND idempotency_key = ANY(:kept_keys) AND expires_at > now()
""")

RELEASE_EXPIRED_KEYS = text("""
UPDATE notification SET holds_idempotency_key = false
 WHERE tenant = :tenant AND holds_idempotency_key AND idempotency_key = ANY(:keys)
   AND created_at < now() - make_interval(secs => :window)
""")


async def find_key_holders(
    session: Executor, tenant: UUID, keys: list[str], window: float
) -> dict[str, dict[str, Any]]:
    """Return the notifications that hold these keys, by key. Keys older than `window` seconds are released first."""
    key_by_stored_form = {form: key for key in keys for form in (key, hash_key(encryption_of(session), tenant, key))}
    values = {"tenant": tenant, "keys": keys, "kept_keys": list(key_by_stored_form), "window": window}
    rows = [dict(row) for row in (await session.execute(SELECT_KEY_HOLDERS, values)).mappings()]
    if any(row["lapsed"] for row in rows):
        await session.execute(RELEASE_EXPIRED_KEYS, values)
    return {key_by_stored_form[row["idempotency_key"]]: row for row in rows if not row["lapsed"]}


# The statement that reads an audience, over rows that exist in it alone: the notification, and the recipient as
# accepting the send would leave it.
SELECT_PREVIEW = statement("acceptance/select_preview")


@dataclass(frozen=True, kw_only=True, slots=True)
class SendPreview:
    """The audience of a send, and why it would not be accepted."""

    recipient_context: RecipientContext
    expires_at: datetime | None
    known_recipient: bool
    attributes_too_large: bool


async def read_send_preview(session: Executor, tenant: UUID, new: NewNotification) -> SendPreview:
    """Write nothing, and lock nothing."""
    item = to_json(item_columns(encryption_of(session), tenant, new))
    row = (await session.execute(SELECT_PREVIEW, {"item": item, "tenant": tenant})).mappings().one()
    return SendPreview(
        recipient_context=recipient_context_of(row),
        expires_at=row["expires_at"],
        known_recipient=row["known_recipient"],
        attributes_too_large=row["too_large"],
    )
