"""Tenants and their API keys. A key is shown once, when it is made; only its SHA-256 is kept.

`storage/key_changes.py` creates, rotates and revokes keys for operators.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import select

from domain.clock import now
from models.columns import new_id
from models.tenants import ApiKey, Tenant
from storage.statements import Executor, statement

SCOPES = ("send", "read", "manage", "operate")
# What tells keys apart in lists: the part that names the environment, and six of the 43 random characters.
PREFIX_PATTERN = re.compile(r"tk_[a-z]+_.{6}")

OPERATE_SCOPE = "operate"
DEV_ENVIRONMENT = "dev"

# The scope operate works in the installation's own tenant only, whatever the row says.
SELECT_BY_HASH = statement("api_keys/select_by_hash")

# At most once a minute per key, whatever the number of processes.
UPDATE_LAST_USED = text("""
UPDATE api_key k SET last_used_at = used.at
  FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS used(id, at)
 WHERE k.id = used.id AND (k.last_used_at IS NULL OR k.last_used_at <= used.at - interval '1 minute')
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyInfo:
    """A key that is not revoked. `is_dev`: made in development; `is_suspended`: its tenant is. `phone_regions` are the
    tenant's; None allows all."""

    id: UUID
    tenant: UUID
    name: str
    scopes: frozenset[str]
    default_language: str
    expires_at: datetime | None
    is_dev: bool
    is_suspended: bool
    phone_regions: frozenset[str] | None = None


def hash_secret(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def generate_secret(env: str) -> str:
    """Return a new key: `tk_dev_…` or `tk_production_…` with 256 random bits."""
    return f"tk_{env}_{token_urlsafe(32)}"


def prefix_of(secret: str) -> str:
    """Return the prefix that identifies the key. For a key that was set in development, return its first third."""
    found = PREFIX_PATTERN.match(secret)
    return found.group() if found else secret[: len(secret) // 3]


async def find_by_hash(session: AsyncSession, hash: str) -> ApiKeyInfo | None:
    row = (await session.execute(SELECT_BY_HASH, {"hash": hash})).one_or_none()
    if row is None:
        return None
    return ApiKeyInfo(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        scopes=frozenset(row.scopes),
        default_language=row.default_language,
        expires_at=row.expires_at,
        is_dev=row.is_dev,
        is_suspended=row.suspended,
        phone_regions=None if row.phone_regions is None else frozenset(row.phone_regions),
    )


async def upsert_key(
    session: AsyncSession, tenant: UUID, name: str, scopes: Sequence[str], secret: str | None = None, env: str = "live"
) -> tuple[ApiKey, str]:
    """Create a key and return the row and the key itself. If the tenant already has `secret`, set its scopes and make
    it valid again."""
    secret = secret or generate_secret(env)
    values = {"name": name, "scopes": list(scopes), "revoked_at": None, "is_dev": env == DEV_ENVIRONMENT}
    key = {"id": new_id(), "tenant": tenant, "hash": hash_secret(secret), "prefix": prefix_of(secret)}
    statement = (
        insert(ApiKey)
        .values(created_at=now(), **key, **values)
        .on_conflict_do_update(index_elements=["hash"], set_=values, where=text("api_key.tenant = excluded.tenant"))
        .returning(ApiKey)
    )
    row = (await session.execute(statement, execution_options={"populate_existing": True})).scalar_one_or_none()
    if row is None:
        raise ValueError("another tenant has this key")
    return row, secret


async def record_uses(session: Executor, last_uses: Mapping[UUID, datetime]) -> None:
    """Record the time of the last use of each key."""
    ids = sorted(last_uses)  # in one order, so that two processes do not wait for each other
    await session.execute(UPDATE_LAST_USED, {"ids": ids, "times": [last_uses[id] for id in ids]})


async def ensure_tenant(session: AsyncSession, key: str, name: str) -> Tenant:
    """Return the tenant with this `key`, and create it if it does not exist. Concurrent calls are safe."""
    insertion = insert(Tenant).values(id=new_id(), key=key, name=name, default_language="en", created_at=now())
    await session.execute(insertion.on_conflict_do_nothing(index_elements=["key"]))
    return (await session.execute(select(Tenant).where(Tenant.key == key))).scalar_one()
