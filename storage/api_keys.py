"""Tenants and their API keys. A key is shown once, when it is made; only its SHA-256 is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
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

SCOPES = ("send", "read", "manage", "operate")
PREFIX_LENGTH = 12

FIND = text("""
SELECT k.id, k.tenant, k.scopes, t.default_language FROM api_key k JOIN tenant t ON t.id = k.tenant
 WHERE k.hash = :hash AND k.revoked_at IS NULL
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyInfo:
    id: UUID
    tenant: UUID
    scopes: frozenset[str]
    default_language: str


def hash_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def new_secret(env: str) -> str:
    """`tk_dev_…` or `tk_production_…`, with 256 random bits."""
    return f"tk_{env}_{token_urlsafe(32)}"


async def find(session: AsyncSession, hash: str) -> ApiKeyInfo | None:
    row = (await session.execute(FIND, {"hash": hash})).one_or_none()
    if row is None:
        return None
    return ApiKeyInfo(id=row.id, tenant=row.tenant, scopes=frozenset(row.scopes), default_language=row.default_language)


async def create_key(
    session: AsyncSession, tenant: UUID, name: str, scopes: Sequence[str], secret: str | None = None, env: str = "live"
) -> tuple[ApiKey, str]:
    """The row and the key itself. A `secret` that the tenant already has gets these scopes and is valid again."""
    secret = secret or new_secret(env)
    values = {"name": name, "scopes": list(scopes), "revoked_at": None}
    key = {"id": new_id(), "tenant": tenant, "hash": hash_of(secret), "prefix": secret[:PREFIX_LENGTH]}
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


async def ensure_tenant(session: AsyncSession, key: str, name: str) -> Tenant:
    """The tenant with this `key`; made if there is none. Two processes may ask at the same time."""
    made = insert(Tenant).values(id=new_id(), key=key, name=name, default_language="en", created_at=now())
    await session.execute(made.on_conflict_do_nothing(index_elements=["key"]))
    return (await session.execute(select(Tenant).where(Tenant.key == key))).scalar_one()
