"""Tenants as an operator makes and names them. `storage/api_keys.py` has their keys."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.clock import now
from models.columns import new_id
from models.tenants import Tenant


async def find(session: AsyncSession, key: str) -> Tenant | None:
    return (await session.execute(select(Tenant).where(Tenant.key == key))).scalar_one_or_none()


async def make(session: AsyncSession, key: str) -> bool:
    """False: there is one with this key already, or somebody has just made it."""
    made = insert(Tenant).values(id=new_id(), key=key, name=key, default_language="en", created_at=now())
    written = await session.execute(made.on_conflict_do_nothing(index_elements=["key"]).returning(col(Tenant.id)))
    return written.scalar_one_or_none() is not None


async def keys(session: AsyncSession, limit: int | None = None) -> Sequence[str]:
    """By name."""
    return (await session.execute(select(Tenant.key).order_by(Tenant.key).limit(limit))).scalars().all()


async def timezone(session: AsyncSession, tenant: UUID) -> str:
    """That of its people who have none of their own."""
    return (await session.execute(select(Tenant.timezone).where(Tenant.id == tenant))).scalar_one()
