"""A tenant's endpoints for status events: kept by their routes, and disabled when nothing gets through any more."""

import base64
import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.clock import now
from domain.event_webhooks import DISABLED, OVERLAP, failed_too_long, failing_since
from models.event_webhooks import EventEndpoint
from storage.encryption import Encryption, Owner, encryption_of
from storage.event_outbox import announce, tell

MOST = 20  # of a tenant
BY_REQUEST = "by_request"
GONE = "gone"
FAILING = "failing"

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class TooMany(Exception):
    """The tenant has as many endpoints as it may."""


def new_secret() -> str:
    """As Standard Webhooks writes it: `whsec_` and 32 random bytes in base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


async def find(session: AsyncSession, tenant: UUID, key: str, *, lock: bool = False) -> EventEndpoint | None:
    found = select(EventEndpoint).where(
        EventEndpoint.tenant == tenant, EventEndpoint.key == key, col(EventEndpoint.deleted_at).is_(None)
    )
    # Of this strength, so that a notification's transaction, which points to the row, does not wait for it.
    found = found.with_for_update(key_share=True) if lock else found
    return (await session.execute(found)).scalar_one_or_none()


async def listed(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[EventEndpoint]:
    """By key, those after the key `after`."""
    found = (
        select(EventEndpoint)
        .where(EventEndpoint.tenant == tenant, col(EventEndpoint.deleted_at).is_(None))
        .where(col(EventEndpoint.key) > (after or ""))
        .order_by(col(EventEndpoint.key))
        .limit(limit)
    )
    return list((await session.execute(found)).scalars())


async def put(
    session: AsyncSession, tenant: UUID, key: str, url: str, events: list[str], *, enabled: bool
) -> tuple[EventEndpoint, bool]:
    """Exactly this from now on, and whether it is new. Raises TooMany."""
    await session.execute(LOCK, {"name": f"event_endpoint:{tenant}"})
    encryption = encryption_of(session)
    row = await find(session, tenant, key, lock=True)
    if row is not None:
        _change(encryption, row, url, events, enabled=enabled)
        await announce(session)
        return row, False
    if len(await listed(session, tenant, None, MOST)) == MOST:
        raise TooMany
    row = EventEndpoint(tenant=tenant, key=key, url="", events=events, secret="", enabled=True)
    row.url = encryption.encrypt(url, owner_of(tenant, row.id), "url")
    row.secret = encryption.encrypt(new_secret(), owner_of(tenant, row.id), "secret")
    _change(encryption, row, url, events, enabled=enabled)
    session.add(row)
    await session.flush()
    return row, True


def owner_of(tenant: UUID, id: UUID) -> Owner:
    return Owner(table="event_endpoint", tenant=tenant, id=str(id))


def url_of(encryption: Encryption, row: EventEndpoint) -> str:
    """Return the URL; an empty text if its key is missing."""
    return str(encryption.readable_members({"url": row.url}, owner_of(row.tenant, row.id)).get("url", ""))


def secret_of(encryption: Encryption, row: EventEndpoint) -> str:
    return encryption.decrypt(row.secret, owner_of(row.tenant, row.id), "secret")


def _change(encryption: Encryption, row: EventEndpoint, url: str, events: list[str], *, enabled: bool) -> None:
    moved = url != url_of(encryption, row)
    if moved:
        row.url = encryption.encrypt(url, owner_of(row.tenant, row.id), "url")
    if moved or (enabled and not row.enabled):
        row.failing_since = row.failed_at = None
    if enabled:
        row.disabled_at = row.disabled_reason = None
    elif row.enabled:
        _disable(row, BY_REQUEST)
    row.events, row.enabled, row.updated_at = events, enabled, now()


def _disable(row: EventEndpoint, reason: str) -> None:
    row.enabled, row.disabled_at, row.disabled_reason = False, now(), reason


async def rotate(session: AsyncSession, tenant: UUID, key: str) -> EventEndpoint | None:
    """With a new secret; the one before goes on signing beside it for a day, any older one does not, nor one whose key
    is missing."""
    row = await find(session, tenant, key, lock=True)
    if row is not None:
        encryption, owner = encryption_of(session), owner_of(tenant, row.id)
        is_readable = encryption.readable_members({"secret": row.secret}, owner)
        row.previous_secret, row.previous_until = row.secret if is_readable else None, now() + OVERLAP
        row.secret = encryption.encrypt(new_secret(), owner, "secret")
        row.updated_at = now()
    return row


async def remove(session: AsyncSession, tenant: UUID, key: str) -> bool:
    """False if there is none. Its messages are deleted later, a few at a time."""
    row = await find(session, tenant, key, lock=True)
    if row is None:
        return False
    row.enabled, row.deleted_at = False, now()
    row.url, row.secret, row.previous_secret = "", "", None
    return True


async def note_failure(session: AsyncSession, id: UUID, *, gone: bool) -> EventEndpoint | None:
    """The endpoint if this failure was the one too many: it is disabled now, and the tenant's others are told."""
    found = select(EventEndpoint, func.clock_timestamp()).where(EventEndpoint.id == id, col(EventEndpoint.enabled))
    seen = (await session.execute(found.with_for_update(key_share=True, of=EventEndpoint))).one_or_none()
    if seen is None:
        return None
    row: EventEndpoint = seen[0]
    at: datetime = seen[1]
    row.failing_since = failing_since(row.failing_since, row.failed_at, at)
    row.failed_at = at
    if not gone and not failed_too_long(row.failing_since, at):
        return None
    _disable(row, GONE if gone else FAILING)
    await session.flush()
    others = [other.id for other in await listed(session, row.tenant, None, MOST)]
    await tell(session, others, DISABLED, {"endpoint": row.key, "reason": row.disabled_reason})
    return row
