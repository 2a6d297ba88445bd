"""API keys: find the valid ones, and create, rotate and revoke them, each change with its audit entry.

A key is shown once, when it is made; only its SHA-256 is kept. Called by the API's routes and the command line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, not_, or_, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.audit import Actor, AuditChange
from domain.clock import now
from domain.names import FLUSH_CHANNEL
from models.columns import new_id
from models.tenants import ApiKey, Tenant
from storage import audit
from storage.statements import Executor, notify, statement

OPERATE_SCOPE = "operate"
SCOPES = ("send", "read", "manage", OPERATE_SCOPE)
# What tells keys apart in lists: the part that names the environment, and six of the 43 random characters.
PREFIX_PATTERN = re.compile(r"tk_[a-z]+_.{6}")
DEV_ENVIRONMENT = "dev"
MAX_VALID_KEYS = 100  # of one tenant
AUDITED_FIELDS = ("name", "prefix", "scopes", "expires_at", "revoked_at", "replaces")

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
    """A key that is not revoked. `is_dev`: made in development; `is_suspended`: its tenant is. `phone_regions` and
    `email_domains` are the tenant's; None allows all regions."""

    id: UUID
    tenant: UUID
    name: str
    scopes: frozenset[str]
    default_language: str
    expires_at: datetime | None
    is_dev: bool
    is_suspended: bool
    phone_regions: frozenset[str] | None = None
    email_domains: frozenset[str] = frozenset()


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
    row = (await session.execute(SELECT_BY_HASH, {"hash": hash})).mappings().one_or_none()
    if row is None:
        return None
    regions = None if row["phone_regions"] is None else frozenset(row["phone_regions"])
    sets = {name: frozenset(row[name]) for name in ("scopes", "email_domains")}
    return ApiKeyInfo(**{**row, **sets, "phone_regions": regions})


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


class KeyChangeNotAllowed(Exception):
    """Report a change that is not allowed. The message gives the reason."""


class OperateScopeNotAllowed(KeyChangeNotAllowed):
    def __init__(self) -> None:
        super().__init__("only keys of the installation's own tenant can have the scope 'operate'")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """Hold the fields of a new key. `env` is that of the process; keys made in development are refused elsewhere."""

    name: str
    scopes: Sequence[str]
    env: str
    expires_in: timedelta | None = None


async def create_key(session: AsyncSession, tenant: Tenant, new: NewKey, actor: Actor) -> tuple[ApiKey, str]:
    """Create a key. Return the row and the key itself. Raise KeyChangeNotAllowed if the tenant may not have it."""
    await _lock_tenant(session, tenant.id)
    if OPERATE_SCOPE in new.scopes and not tenant.is_installation:
        raise OperateScopeNotAllowed
    if await _count_valid_keys(session, tenant.id) >= MAX_VALID_KEYS:
        raise KeyChangeNotAllowed(f"a tenant can have at most {MAX_VALID_KEYS} valid keys; revoke one first")
    row, secret = _build_key(tenant.id, new)
    await _save_with_audit(session, row, actor, "key.created", {})
    return row, secret


async def rotate_key(
    session: AsyncSession, row: ApiKey, overlap: timedelta | None, env: str, actor: Actor, expires_in: timedelta | None
) -> tuple[ApiKey, str]:
    """Create the successor of a valid key, with its name and scopes. The key itself ends after `overlap` (None: now).

    Without `expires_in` the successor lives as long as the key was to live. Raise KeyChangeNotAllowed for a key that
    is not valid or was rotated already.
    """
    await _lock_tenant(session, row.tenant)
    await session.refresh(row)
    at = now()
    if not is_valid(row, at):
        raise KeyChangeNotAllowed("the key is revoked or has expired; create another one")
    if await _has_successor(session, row, at):
        raise KeyChangeNotAllowed("the key was rotated already; rotate its successor, or revoke that first")
    if expires_in is None and row.expires_at is not None:
        expires_in = row.expires_at - row.created_at
    successor, secret = _build_key(row.tenant, NewKey(name=row.name, scopes=row.scopes, env=env, expires_in=expires_in))
    successor.replaces = row.id
    await _save_with_audit(session, successor, actor, "key.created", {})
    before = _audited_values(row)
    ends = at + (overlap or timedelta())
    row.expires_at = ends if row.expires_at is None else min(row.expires_at, ends)
    await _save_with_audit(session, row, actor, "key.rotated", before)
    return successor, secret


async def revoke_key(session: AsyncSession, row: ApiKey, actor: Actor) -> None:
    """Revoke the key. A repeated call changes nothing."""
    await session.refresh(row, with_for_update=True)
    if row.revoked_at is not None:
        return
    before = _audited_values(row)
    row.revoked_at = now()
    await _save_with_audit(session, row, actor, "key.revoked", before)


async def find_by_id(session: AsyncSession, tenant: UUID, id: UUID) -> ApiKey | None:
    return (await session.execute(select(ApiKey).where(ApiKey.tenant == tenant, ApiKey.id == id))).scalar_one_or_none()


async def list_page(
    session: AsyncSession, tenant: UUID, *, ended: bool, before: UUID | None = None, limit: int | None = None
) -> Sequence[ApiKey]:
    """Return valid keys, newest first; with `ended` those that were revoked or have expired instead."""
    is_valid_now = _valid_condition(now())
    statement = select(ApiKey).where(ApiKey.tenant == tenant, not_(is_valid_now) if ended else is_valid_now)
    if before is not None:
        statement = statement.where(col(ApiKey.id) < before)
    return (await session.execute(statement.order_by(col(ApiKey.id).desc()).limit(limit))).scalars().all()


def is_valid(row: ApiKey, at: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > at)


def _valid_condition(at: datetime) -> ColumnElement[bool]:
    unexpired = or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > at)
    return col(ApiKey.revoked_at).is_(None) & unexpired


async def _lock_tenant(session: AsyncSession, tenant: UUID) -> None:
    """Lock the tenant, so that changes of its keys are made one after the other."""
    await session.execute(select(Tenant.id).where(Tenant.id == tenant).with_for_update(key_share=True))


async def _count_valid_keys(session: AsyncSession, tenant: UUID) -> int:
    counted = select(func.count()).select_from(ApiKey).where(ApiKey.tenant == tenant, _valid_condition(now()))
    return (await session.execute(counted)).scalar_one()


async def _has_successor(session: AsyncSession, row: ApiKey, at: datetime) -> bool:
    found = select(ApiKey.id).where(ApiKey.tenant == row.tenant, ApiKey.replaces == row.id, _valid_condition(at))
    return (await session.execute(found.limit(1))).scalar_one_or_none() is not None


def _build_key(tenant: UUID, new: NewKey) -> tuple[ApiKey, str]:
    secret, at = generate_secret(new.env), now()
    row = ApiKey(
        id=new_id(),
        tenant=tenant,
        name=new.name,
        prefix=prefix_of(secret),
        hash=hash_secret(secret),
        scopes=list(dict.fromkeys(new.scopes)),
        created_at=at,
        expires_at=None if new.expires_in is None else at + new.expires_in,
        is_dev=new.env == DEV_ENVIRONMENT,
    )
    return row, secret


def _audited_values(row: ApiKey) -> dict[str, Any]:
    return {name: getattr(row, name) for name in AUDITED_FIELDS}


async def _save_with_audit(
    session: AsyncSession, row: ApiKey, actor: Actor, action: str, before: dict[str, Any]
) -> None:
    session.add(row)
    await session.flush()
    subject, after = f"key/{row.id}", _audited_values(row)
    change = AuditChange(
        tenant=row.tenant, actor=actor, action=action, subject=subject, before=before or None, after=after
    )
    await audit.record_change(session, change)
    await notify(session, FLUSH_CHANNEL)
