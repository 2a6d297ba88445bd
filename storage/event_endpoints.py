"""Store a tenant's endpoints for status events. Routes manage them; the poster disables endpoints that keep failing."""

import base64
import json
import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.clock import now
from domain.event_webhooks import DISABLED_EVENT, SECRET_OVERLAP, failing_since, has_failed_too_long
from domain.json_types import Json
from domain.names import EVENTS_CHANNEL
from models.event_webhooks import EventEndpoint
from storage.encryption import Encryption, SecretOwner, encryption_of
from storage.statements import notify

MAX_ENDPOINTS = 20  # of a tenant
DISABLED_BY_REQUEST = "by_request"
DISABLED_AS_GONE = "gone"
DISABLED_AS_FAILING = "failing"

LOCK_TENANT_ENDPOINTS = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class TooManyEndpoints(Exception):
    """The tenant has as many endpoints as it may."""


def generate_secret() -> str:
    """Return a new secret in the format of Standard Webhooks: `whsec_` and 32 random bytes in base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


async def find(session: AsyncSession, tenant: UUID, key: str, *, lock: bool = False) -> EventEndpoint | None:
    query = select(EventEndpoint).where(
        EventEndpoint.tenant == tenant, EventEndpoint.key == key, col(EventEndpoint.deleted_at).is_(None)
    )
    # Of this strength, so that a notification's transaction, which points to the row, does not wait for it.
    query = query.with_for_update(key_share=True) if lock else query
    return (await session.execute(query)).scalar_one_or_none()


async def list_page(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[EventEndpoint]:
    """Return the endpoints whose keys follow `after`, in the order of the keys."""
    query = (
        select(EventEndpoint)
        .where(EventEndpoint.tenant == tenant, col(EventEndpoint.deleted_at).is_(None))
        .where(col(EventEndpoint.key) > (after or ""))
        .order_by(col(EventEndpoint.key))
        .limit(limit)
    )
    return list((await session.execute(query)).scalars())


async def put(
    session: AsyncSession, tenant: UUID, key: str, url: str, events: list[str], *, enabled: bool
) -> tuple[EventEndpoint, bool]:
    """Create or replace an endpoint. Return it, and whether it is new. Raise TooMany."""
    await session.execute(LOCK_TENANT_ENDPOINTS, {"name": f"event_endpoint:{tenant}"})
    encryption = encryption_of(session)
    row = await find(session, tenant, key, lock=True)
    if row is not None:
        _update(encryption, row, url, events, enabled=enabled)
        await notify(session, EVENTS_CHANNEL)
        return row, False
    if len(await list_page(session, tenant, None, MAX_ENDPOINTS)) == MAX_ENDPOINTS:
        raise TooManyEndpoints
    row = EventEndpoint(tenant=tenant, key=key, url="", events=events, secret="", enabled=True)
    row.url = encryption.encrypt(url, secret_owner_of(tenant, row.id), "url")
    row.secret = encryption.encrypt(generate_secret(), secret_owner_of(tenant, row.id), "secret")
    _update(encryption, row, url, events, enabled=enabled)
    session.add(row)
    await session.flush()
    return row, True


def secret_owner_of(tenant: UUID, id: UUID) -> SecretOwner:
    return SecretOwner(table="event_endpoint", tenant=tenant, id=str(id))


def decrypt_url(encryption: Encryption, row: EventEndpoint) -> str:
    """Return the URL; an empty text if its key is missing."""
    return str(encryption.readable_members({"url": row.url}, secret_owner_of(row.tenant, row.id)).get("url", ""))


def decrypt_secret(encryption: Encryption, row: EventEndpoint) -> str:
    return encryption.decrypt(row.secret, secret_owner_of(row.tenant, row.id), "secret")


def _update(encryption: Encryption, row: EventEndpoint, url: str, events: list[str], *, enabled: bool) -> None:
    is_url_changed = url != decrypt_url(encryption, row)
    if is_url_changed:
        row.url = encryption.encrypt(url, secret_owner_of(row.tenant, row.id), "url")
    if is_url_changed or (enabled and not row.enabled):
        row.failing_since = row.failed_at = None
    if enabled:
        row.disabled_at = row.disabled_reason = None
    elif row.enabled:
        _disable(row, DISABLED_BY_REQUEST)
    row.events, row.enabled, row.updated_at = events, enabled, now()


def _disable(row: EventEndpoint, reason: str) -> None:
    row.enabled, row.disabled_at, row.disabled_reason = False, now(), reason


async def rotate_secret(session: AsyncSession, tenant: UUID, key: str) -> EventEndpoint | None:
    """Create a new secret. The previous one also signs for another day, unless its key is missing. Older ones end."""
    row = await find(session, tenant, key, lock=True)
    if row is not None:
        encryption, owner = encryption_of(session), secret_owner_of(tenant, row.id)
        is_readable = encryption.readable_members({"secret": row.secret}, owner)
        row.previous_secret, row.previous_until = row.secret if is_readable else None, now() + SECRET_OVERLAP
        row.secret = encryption.encrypt(generate_secret(), owner, "secret")
        row.updated_at = now()
    return row


async def remove(session: AsyncSession, tenant: UUID, key: str) -> bool:
    """Remove an endpoint. Return False if there is none. Its messages are deleted later, a few at a time."""
    row = await find(session, tenant, key, lock=True)
    if row is None:
        return False
    row.enabled, row.deleted_at = False, now()
    row.url, row.secret, row.previous_secret = "", "", None
    return True


async def record_failure(session: AsyncSession, id: UUID, *, is_gone: bool) -> EventEndpoint | None:
    """Count a failure. Return the endpoint if this failure disabled it; the tenant's other endpoints get an event."""
    query = select(EventEndpoint, func.clock_timestamp()).where(EventEndpoint.id == id, col(EventEndpoint.enabled))
    locked = (await session.execute(query.with_for_update(key_share=True, of=EventEndpoint))).one_or_none()
    if locked is None:
        return None
    row: EventEndpoint = locked[0]
    at: datetime = locked[1]
    row.failing_since = failing_since(row.failing_since, row.failed_at, at)
    row.failed_at = at
    if not is_gone and not has_failed_too_long(row.failing_since, at):
        return None
    _disable(row, DISABLED_AS_GONE if is_gone else DISABLED_AS_FAILING)
    await session.flush()
    others = [other.id for other in await list_page(session, row.tenant, None, MAX_ENDPOINTS)]
    await enqueue_messages(session, others, DISABLED_EVENT, {"endpoint": row.key, "reason": row.disabled_reason})
    return row


INSERT_MESSAGES = text("""
INSERT INTO event_message (id, tenant, endpoint_id, kind, occurred_at, body, attempt_count, next_attempt_at, attempts)
SELECT gen_random_uuid(), tenant, id, :kind, :at, :body, 0, now(), '[]'
  FROM event_endpoint WHERE id = ANY(:endpoints) AND enabled
RETURNING id
""")


async def enqueue_messages(session: AsyncSession, endpoints: list[UUID], kind: str, data: Json) -> list[UUID]:
    """Insert a message to each of these endpoints that is enabled, whatever events it subscribes to. Return the ids."""
    at = now()
    timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json.dumps({"type": kind, "timestamp": timestamp, "data": data}, ensure_ascii=False)
    values = {"endpoints": endpoints, "kind": kind, "at": at, "body": body}
    message_ids = list((await session.execute(INSERT_MESSAGES, values)).scalars())
    await notify(session, EVENTS_CHANNEL)
    return message_ids
