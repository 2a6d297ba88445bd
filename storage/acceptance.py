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
from storage.recipients import ATTRIBUTES_TOO_LARGE, contact_columns
from storage.statements import Executor


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


EXPIRES_AT = """
CASE WHEN expires_in IS NOT NULL
     THEN least(COALESCE(send_at, now()) + expires_in * interval '1 second', '9999-12-31Z') END
""".strip()
# A person given inline is written in the same statement; DISTINCT ON because one statement may touch a row once.
# Known people are locked against an erasure, which must find what is accepted for them.
ACCEPT_NOTIFICATIONS = text(f"""
WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x(
    id uuid, recipient_id text, profile jsonb, notification_type text, type_id uuid, event_payload jsonb,
    priority int, channels text[], tags text[], idempotency_key text, idempotency_hash text,
    send_at timestamptz, expires_in float8, digest_key text, digest_id uuid, schedule_id uuid,
    cancel_key text)
), profile AS (
  INSERT INTO recipient AS r (tenant, recipient_id, contact, address_hashes, locale, timezone, attributes, created_at,
         updated_at)
  SELECT DISTINCT ON (recipient_id) CAST(:tenant AS uuid), recipient_id, COALESCE(profile->'contact', '{{}}'),
         COALESCE(profile->'address_hashes', '{{}}'), profile->>'locale', profile->>'timezone',
         COALESCE(profile->'attributes', '{{}}'), now(), now()
    FROM item WHERE profile IS NOT NULL ORDER BY recipient_id, id DESC
  ON CONFLICT (tenant, recipient_id) DO UPDATE SET contact = r.contact || EXCLUDED.contact,
         address_hashes = r.address_hashes || EXCLUDED.address_hashes,
         locale = COALESCE(EXCLUDED.locale, r.locale), timezone = COALESCE(EXCLUDED.timezone, r.timezone),
         attributes = r.attributes || EXCLUDED.attributes, updated_at = now()
  RETURNING r.recipient_id, {ATTRIBUTES_TOO_LARGE} AS too_large
), preference AS (
  INSERT INTO user_preference (tenant, user_id, global_channel_opt_in, type_channel_preferences, updated_at)
  SELECT :tenant, recipient_id, '{{}}', '{{}}', now() FROM profile
  ON CONFLICT DO NOTHING
), known_recipients AS (
  SELECT r.recipient_id FROM recipient r
   WHERE r.tenant = :tenant AND r.recipient_id IN (SELECT recipient_id FROM item) FOR KEY SHARE
), known AS (
  SELECT recipient_id FROM profile UNION SELECT recipient_id FROM known_recipients
), accepted AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority,
         channels, tags, idempotency_key, idempotency_hash, holds_idempotency_key, created_at, send_at, expires_at,
         generation, revision, digest_key, digest_id, schedule_id, cancel_key)
  SELECT id, :tenant, recipient_id, notification_type, type_id, event_payload, 'PENDING', priority, channels, tags,
         idempotency_key, idempotency_hash, idempotency_key IS NOT NULL, now(), send_at,
         {EXPIRES_AT}, 1, 0,
         digest_key, digest_id, schedule_id, cancel_key
    FROM item JOIN known USING (recipient_id) ORDER BY idempotency_key, id
  ON CONFLICT DO NOTHING
  RETURNING id, generation, notification_type, priority, created_at, send_at, expires_at, digest_key
), queued AS (
  INSERT INTO queue_entry (notification_id, generation, tenant, priority, lane, state, next_at)
  SELECT id, generation, :tenant, priority, hashtext(notification_type),
         CASE WHEN digest_key IS NULL THEN 'due' ELSE 'collecting' END,
         CASE WHEN digest_key IS NULL THEN created_at ELSE greatest(send_at, created_at) END FROM accepted
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, status)
  SELECT id, :tenant, id, created_at, 'accepted', 'PENDING' FROM accepted
)
SELECT item.id, item.recipient_id, profile.too_large,
       known.recipient_id IS NOT NULL AS known_recipient, accepted.created_at, accepted.expires_at,
       CASE WHEN :notify AND accepted.id IS NOT NULL
            THEN pg_notify(:channel, CASE WHEN item.digest_key IS NULL THEN :queue_due
                                          ELSE :collect_due END)::text END
  FROM item LEFT JOIN known USING (recipient_id) LEFT JOIN accepted ON accepted.id = item.id
       LEFT JOIN profile ON profile.recipient_id = item.recipient_id
""")  # noqa: S608 - constants of our own


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
    """As `accept`, for items without a profile: one statement."""
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
    """A JSON array. Writing megabytes in one call would hold up the event loop."""
    return f"[{','.join([to_json(item_columns(encryption, tenant, item)) async for item in in_slices(items)])}]"


def item_columns(encryption: Encryption, tenant: UUID, item: NewNotification) -> JsonObject:
    """As the statement reads it, without what is not given."""
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
    """The notifications that hold these keys, by key. Keys older than `window` seconds are released first."""
    key_by_stored_form = {form: key for key in keys for form in (key, hash_key(encryption_of(session), tenant, key))}
    values = {"tenant": tenant, "keys": keys, "kept_keys": list(key_by_stored_form), "window": window}
    rows = [dict(row) for row in (await session.execute(SELECT_KEY_HOLDERS, values)).mappings()]
    if any(row["lapsed"] for row in rows):
        await session.execute(RELEASE_EXPIRED_KEYS, values)
    return {key_by_stored_form[row["idempotency_key"]]: row for row in rows if not row["lapsed"]}
