"""Store the chat rooms of tenants. `services/chat_rooms.py` changes them; the claim of an attempt reads the URL."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.clock import now
from models.tenants import ChatRoom
from storage.encryption import SecretOwner, encryption_of
from storage.statements import Executor

ROOM_EXISTS = text("SELECT EXISTS (SELECT 1 FROM chat_room WHERE tenant = :tenant AND name = :name)")


def secret_owner_of(tenant: UUID, name: str) -> SecretOwner:
    return SecretOwner(table="chat_room", tenant=tenant, id=name)


async def read_urls(session: AsyncSession, tenant: UUID) -> dict[str, str | None]:
    """Return the URLs by the name of the room, in alphabetical order. None: the key of the secret is missing."""
    encryption = encryption_of(session)
    query = select(ChatRoom).where(ChatRoom.tenant == tenant).order_by(col(ChatRoom.name))
    return {
        row.name: encryption.readable_members({"chat_url": row.chat_url}, secret_owner_of(tenant, row.name)).get(
            "chat_url"
        )
        for row in (await session.execute(query)).scalars()
    }


async def exists(session: Executor, tenant: UUID, name: str) -> bool:
    return bool((await session.execute(ROOM_EXISTS, {"tenant": tenant, "name": name})).scalar_one())


async def save(session: AsyncSession, tenant: UUID, urls: Mapping[str, str]) -> None:
    """Create or replace the rooms with these names."""
    encryption = encryption_of(session)
    for name, url in urls.items():
        values = {"chat_url": encryption.encrypt(url, secret_owner_of(tenant, name), "chat_url"), "updated_at": now()}
        insertion = insert(ChatRoom).values(tenant=tenant, name=name, **values)
        await session.execute(insertion.on_conflict_do_update(index_elements=["tenant", "name"], set_=values))


async def remove(session: AsyncSession, tenant: UUID, names: list[str]) -> None:
    await session.execute(delete(ChatRoom).where(col(ChatRoom.tenant) == tenant, col(ChatRoom.name).in_(names)))
