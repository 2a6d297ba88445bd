"""Create and change tenants and their defaults. Changes by an operator have an audit entry.

`storage/api_keys.py` has their keys.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.audit import Actor, AuditChange
from domain.clock import now
from domain.holds import HoldKind
from domain.json_types import Json
from domain.names import FLUSH_CHANNEL
from models.columns import new_id
from models.holds import Hold
from models.tenants import Tenant
from storage import audit, holds
from storage.statements import notify

# One process at a time: both would find that there is no installation tenant yet.
LOCK_INSTALLATION = text("SELECT pg_advisory_xact_lock(hashtextextended('tocsin installation', 0))")
CLAIM_INSTALLATION = text("""
UPDATE tenant SET is_installation = true
 WHERE id = :id AND NOT EXISTS (SELECT 1 FROM tenant WHERE is_installation)
""")
SUSPENSION = (col(Hold.tenant) == col(Tenant.id)) & (col(Hold.kind) == HoldKind.TENANT)
TENANT_COLUMNS = [
    getattr(Tenant, name)
    for name in ("key", "name", "default_language", "is_installation", "email_domains", "created_at")
]
HOLD_COLUMNS: list[Any] = [col(Hold.created_at).label("suspended_at"), col(Hold.reason).label("suspension_reason")]
SELECT_TENANTS = sqlalchemy.select(*TENANT_COLUMNS, *HOLD_COLUMNS).outerjoin(Hold, SUSPENSION)


class TenantChangeNotAllowed(Exception):
    """The change is not allowed; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantState:
    """`suspended_at` None: it is not suspended."""

    key: str
    name: str
    default_language: str
    is_installation: bool
    email_domains: list[str]
    created_at: datetime
    suspended_at: datetime | None
    suspension_reason: str | None


async def find(session: AsyncSession, key: str) -> Tenant | None:
    return (await session.execute(select(Tenant).where(Tenant.key == key))).scalar_one_or_none()


async def find_by_id(session: AsyncSession, id: UUID) -> Tenant:
    return (await session.execute(select(Tenant).where(Tenant.id == id))).scalar_one()


async def create(session: AsyncSession, key: str, actor: Actor, name: str | None = None) -> Tenant | None:
    """Return None if there is one with this key already."""
    values = {"id": new_id(), "key": key, "name": name or key, "default_language": "en", "created_at": now()}
    insertion = insert(Tenant).values(**values).on_conflict_do_nothing(index_elements=["key"]).returning(Tenant)
    tenant = (await session.execute(insertion)).scalar_one_or_none()
    if tenant is not None:
        await _record_change(session, tenant, actor, "tenant.created", None, {"key": key, "name": tenant.name})
    return tenant


async def ensure_tenant(session: AsyncSession, key: str, name: str) -> Tenant:
    """Return the tenant with this `key`, and create it if it does not exist. Concurrent calls are safe."""
    insertion = insert(Tenant).values(id=new_id(), key=key, name=name, default_language="en", created_at=now())
    await session.execute(insertion.on_conflict_do_nothing(index_elements=["key"]))
    return (await session.execute(select(Tenant).where(Tenant.key == key))).scalar_one()


async def claim_installation(session: AsyncSession, id: UUID) -> bool:
    """Make this tenant the installation's own, unless there is one. Return whether it is the installation's own now."""
    await session.execute(LOCK_INSTALLATION)
    await session.execute(CLAIM_INSTALLATION, {"id": id})
    installation_id = (await session.execute(select(Tenant.id).where(col(Tenant.is_installation)))).scalar_one_or_none()
    await notify(session, FLUSH_CHANNEL)
    return installation_id == id


async def suspend(session: AsyncSession, tenant: Tenant, reason: str | None, actor: Actor) -> None:
    """Hold its messages back, and refuse its keys. Again changes nothing. Raises TenantRefused."""
    if tenant.is_installation:
        raise TenantChangeNotAllowed("the installation's own tenant cannot be suspended")
    if await holds.pause(session, tenant.id, HoldKind.TENANT, tenant.key, reason, actor.name):
        after = {"suspended": True, "reason": reason}
        await _record_change(session, tenant, actor, "tenant.suspended", {"suspended": False, "reason": None}, after)
        await notify(session, FLUSH_CHANNEL)


async def resume(session: AsyncSession, tenant: Tenant, actor: Actor) -> None:
    """Release what waits, at the resume rate. Again changes nothing."""
    if await holds.resume(session, tenant.id, HoldKind.TENANT, tenant.key):
        await _record_change(session, tenant, actor, "tenant.resumed", {"suspended": True}, {"suspended": False})
        await notify(session, FLUSH_CHANNEL)


async def set_email_domains(session: AsyncSession, tenant: Tenant, domains: Sequence[str], actor: Actor) -> None:
    """Set the domains of the tenant's senders and reply addresses. Other addresses are not used from now on."""
    before = {"email_domains": tenant.email_domains}
    await session.execute(update(Tenant).where(col(Tenant.id) == tenant.id).values(email_domains=list(domains)))
    after = {"email_domains": list(domains)}
    await _record_change(session, tenant, actor, "tenant.email_domains_set", before, after)
    await notify(session, FLUSH_CHANNEL)


async def read_state(session: AsyncSession, key: str) -> TenantState | None:
    row = (await session.execute(SELECT_TENANTS.where(col(Tenant.key) == key))).mappings().one_or_none()
    return None if row is None else TenantState(**row)


async def list_page(session: AsyncSession, after: str | None, limit: int | None) -> Sequence[TenantState]:
    """Return the tenants after the key `after`, by key; all of them without a limit."""
    page = SELECT_TENANTS.where(col(Tenant.key) > (after or "")).order_by(col(Tenant.key)).limit(limit)
    return [TenantState(**row) for row in (await session.execute(page)).mappings()]


async def list_keys(session: AsyncSession, limit: int | None = None) -> Sequence[str]:
    """Return the keys of the tenants in alphabetical order."""
    return (await session.execute(select(Tenant.key).order_by(Tenant.key).limit(limit))).scalars().all()


async def read_keys(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, str]:
    rows = await session.execute(select(Tenant.id, Tenant.key).where(col(Tenant.id).in_(ids)))
    return {row.id: row.key for row in rows}


async def read_timezone(session: AsyncSession, tenant: UUID) -> str:
    """Return the time zone of recipients without one."""
    return (await session.execute(select(Tenant.timezone).where(Tenant.id == tenant))).scalar_one()


async def _record_change(
    session: AsyncSession,
    tenant: Tenant,
    actor: Actor,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    subject = f"tenant/{tenant.key}"
    change = AuditChange(tenant=tenant.id, actor=actor, action=action, subject=subject, before=before, after=after)
    await audit.record_change(session, change)


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantDefaults:
    """Hold the settings of a tenant. `frequency_cap` is `{limit, per}`; `phone_regions` None allows all. `email_sender`
    and `email_reply_to` are `{email, name}`."""

    default_language: str
    timezone: str
    frequency_cap: Json | None
    content_days: int
    record_days: int
    phone_regions: list[str] | None
    email_sender: Json | None
    email_reply_to: Json | None


DEFAULT_COLUMNS = [getattr(Tenant, name) for name in TenantDefaults.__slots__]


async def read_defaults(session: AsyncSession, tenant: UUID, *, lock: bool = False) -> TenantDefaults:
    query = sqlalchemy.select(*DEFAULT_COLUMNS).where(col(Tenant.id) == tenant)
    query = query.with_for_update(key_share=True) if lock else query
    return TenantDefaults(**(await session.execute(query)).mappings().one())


async def save_defaults(session: AsyncSession, tenant: UUID, defaults: TenantDefaults) -> None:
    values = {name: getattr(defaults, name) for name in defaults.__slots__}
    await session.execute(update(Tenant).where(col(Tenant.id) == tenant).values(values))
