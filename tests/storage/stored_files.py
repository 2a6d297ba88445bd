"""Uploaded files and their uses by notifications, as rows of a database that no other test fills; for tests."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from storage import attachments
from storage.attachments import ReceivedContent, StoredAttachment
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseTenant

DAY = timedelta(days=1)
PARTS = (b"first ", b"second")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def save(
    session: AsyncSession, tenant: UUID, name: str = "a.txt", parts: tuple[bytes, ...] = PARTS
) -> tuple[StoredAttachment, bool]:
    upload, whole = f"upload {uuid4()}", b"".join(parts)
    for position, part in enumerate(parts):
        await attachments.add_chunk(session, tenant, upload, position, part)
    content = ReceivedContent(upload=upload, sha256=hashlib.sha256(whole).hexdigest(), size=len(whole))
    return await attachments.save(session, tenant, name, "text/plain", content, 0)


async def stored(database_tenant: DatabaseTenant, name: str = "a.txt", *, age: timedelta = timedelta(0)) -> UUID:
    async with database_tenant.database.transaction() as session:
        file, _ = await save(session, database_tenant.tenant, name)
    await set_age(database_tenant, file.id, age)
    return file.id


async def set_age(database_tenant: DatabaseTenant, id: UUID, age: timedelta) -> None:
    statement = "UPDATE attachment SET last_used_at = :at WHERE id = :id"
    await database_tenant.query(statement, at=now() - age, id=id)


async def use(database_tenant: DatabaseTenant, notification: UUID, *ids: UUID) -> set[UUID]:
    async with database_tenant.database.transaction() as session:
        return await attachments.record_uses(session, database_tenant.tenant, {notification: ids})


async def content(database_tenant: DatabaseTenant, id: UUID) -> bytes | None:
    async with database_tenant.database.statement() as session:
        return await attachments.read_content(session, database_tenant.tenant, id)


async def ids(database_tenant: DatabaseTenant) -> set[UUID]:
    return {row["id"] for row in await database_tenant.query("SELECT id FROM attachment")}


async def count_chunks(database_tenant: DatabaseTenant) -> int:
    return len(await database_tenant.query("SELECT 1 AS chunk FROM attachment_chunk"))
