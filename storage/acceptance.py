"""Accept notifications: one INSERT for one or a thousand, and the lookup that makes a repeat the same one.

A send to several recipients has one idempotency key, which `multi_send` holds with the results. The erasure of a
recipient whom the key quotes replaces it by a keyed hash, so that a repeat is still recognized.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import Json
from domain.names import COLLECT_DUE, DISPATCH_CHANNEL, QUEUE_DUE
from domain.time_slices import in_slices
from models.columns import new_id
from storage.database import to_json
from storage.encryption import Encryption, encryption_of
from storage.preferences import RecipientContext, recipient_context_of
from storage.recipients import contact_columns
from storage.statements import Executor, decoded, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class NewNotification:
    """`profile` is `{contact, locale, timezone, attributes}` with what the caller gave inline, or None. With a
    `digest_key` it is collected; `digest_id` is the window that it was made of, `schedule_id` the recurring send."""

    id: UUID
    recipient_id: str
    notification_type: str
    type_id: UUID
    event_payload: Json
    priority: int
    profile: Json | None = None
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
    email_options: Json | None = None


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """Hold the result for one notification. `created_at` is None if nothing was inserted: the key or the id is taken,
    the recipient is unknown or would exceed the limit of attributes."""

    id: UUID
    known_recipient: bool
    created_at: datetime | None = None
    expires_at: datetime | None = None
    attributes_too_large: bool = False


# A recipient given inline is written in the same statement; DISTINCT ON because one statement may touch a row once.
# Known recipients are locked against an erasure, which must find what is accepted for them.
ACCEPT_NOTIFICATIONS = statement("acceptance/accept_notifications")
NOTIFY_PARAMETERS = {"channel": DISPATCH_CHANNEL, "queue_due": QUEUE_DUE, "collect_due": COLLECT_DUE}


async def accept(
    session: AsyncSession, tenant: UUID, items: list[NewNotification], *, notify: bool
) -> dict[UUID, AcceptResult]:
    """Insert what can be, and return the results by id.

    Nothing is inserted for an unknown recipient or a taken key, and no item with attributes for a recipient who would
    have too many. The transactions of schedules and digests notify the dispatchers (`notify`). For sends of the API,
    `WorkAnnouncer` does so after the commit."""
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
    session: Executor, tenant: UUID, items: list[NewNotification]
) -> dict[UUID, AcceptResult]:
    """Accept items without a profile, like `accept`, in one statement. The caller announces them after the commit."""
    return _results_by_id(await _insert_items(session, tenant, items, notify=False))


def _has_attributes(item: NewNotification) -> bool:
    return item.profile is not None and "attributes" in item.profile


async def _insert_items(
    session: Executor, tenant: UUID, items: list[NewNotification], *, notify: bool
) -> Sequence[Mapping[str, Any]]:
    items_json = await _items_to_json(encryption_of(session), tenant, items)
    values = {"tenant": tenant, "notify": notify, "items": items_json, **NOTIFY_PARAMETERS}
    return list((await session.execute(ACCEPT_NOTIFICATIONS, values)).mappings())


def _results_by_id(rows: Sequence[Mapping[str, Any]]) -> dict[UUID, AcceptResult]:
    values = map(itemgetter("id", "known_recipient", "created_at", "expires_at"), rows)
    return {each[0]: AcceptResult(*each) for each in values}


async def _items_to_json(encryption: Encryption, tenant: UUID, items: list[NewNotification]) -> str:
    """Return a JSON array. Serializing megabytes in one call would block the event loop."""
    return f"[{','.join([to_json(item_columns(encryption, tenant, item)) async for item in in_slices(items)])}]"


def item_columns(encryption: Encryption, tenant: UUID, item: NewNotification) -> Json:
    """Return the values of an item in the form that the statement reads, without those that are not given."""
    values: Json = {name: value for name in item.__slots__ if (value := getattr(item, name)) is not None}
    if item.expires_in is not None:
        values["expires_in"] = item.expires_in.total_seconds()
    if item.profile is not None:
        contact = item.profile.get("contact", {})
        values["profile"] = {**item.profile, **contact_columns(encryption, tenant, item.recipient_id, contact)}
    return values


SELECT_KEY_HOLDERS = statement("acceptance/select_key_holders")

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


# It returns the columns of `preferences/select_contexts` for a notification that does not exist, and the recipient as
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


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResults:
    """`results` has one member per entry: `id`, or what the response lists of its errors. `recipients` are those of the
    notifications by id, as they are now."""

    idempotency_hash: str
    results: list[Json]
    recipients: dict[str, str]


INSERT_RESULTS = statement("acceptance/insert_results")
# The first notification holds the key too, in the unique index of the keys of sends to one recipient: of a concurrent
# one only one is accepted. That costs sends to one recipient nothing.
HOLD_KEY = text("""
UPDATE notification SET idempotency_key = :key, idempotency_hash = :hash, holds_idempotency_key = true
 WHERE tenant = :tenant AND id = CAST(:holder AS uuid)
""")
SELECT_RESULTS = statement("acceptance/select_results")

LOCK_MATCHING_KEYS = text("""
SELECT id, idempotency_key FROM multi_send WHERE tenant = :tenant
   AND EXISTS (SELECT 1 FROM unnest(CAST(:quoted AS text[])) AS each WHERE idempotency_key ~* each)
 ORDER BY id FOR UPDATE
""")
REPLACE_KEYS = statement("acceptance/replace_keys")


async def store_results(
    session: AsyncSession, tenant: UUID, key: str, hash: str, results: list[Json], window: float
) -> bool:
    """Hold the key for `window` seconds. Return False if a concurrent request holds it, which is committed by then: the
    caller rolls back."""
    values: dict[str, Any] = {"id": new_id(), "tenant": tenant, "key": key, "hash": hash, "window": window}
    values |= {"hashed_key": hash_key(encryption_of(session), tenant, key), "results": to_json(results)}
    values["holder"] = next((result["id"] for result in results if "id" in result), None)
    if (await session.execute(INSERT_RESULTS, values)).scalar_one_or_none() is None:
        return False
    try:
        await session.execute(HOLD_KEY, values)
    except IntegrityError:
        return False
    return True


async def find_results(session: Executor, tenant: UUID, key: str) -> StoredResults | None:
    values = {"tenant": tenant, "key": key, "hashed_key": hash_key(encryption_of(session), tenant, key)}
    row = (await session.execute(SELECT_RESULTS, values)).mappings().one_or_none()
    if row is None:
        return None
    results, recipients = decoded(row["results"]), decoded(row["recipients"])
    return StoredResults(idempotency_hash=row["idempotency_hash"], results=results, recipients=recipients)


async def replace_keys(session: AsyncSession, tenant: UUID, patterns: Sequence[str]) -> None:
    """Replace the keys that match one of these regular expressions."""
    found = list((await session.execute(LOCK_MATCHING_KEYS, {"tenant": tenant, "quoted": list(patterns)})).mappings())
    if found:
        keys = [row["idempotency_key"] for row in found]
        hashed = [hash_key(encryption_of(session), tenant, key) for key in keys]
        values = {"tenant": tenant, "ids": [row["id"] for row in found], "keys": keys, "hashed_keys": hashed}
        await session.execute(REPLACE_KEYS, values)


def hash_key(encryption: Encryption, tenant: UUID, key: str) -> str:
    """Return the hash that replaces the key at an erasure."""
    return encryption.lookup_hash(f"multi_send:{tenant}:{key}")
