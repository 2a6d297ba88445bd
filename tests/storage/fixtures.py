"""Rows without the engine: a database per module that no dispatcher reads, a tenant with a type, and one send."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database)


@pytest.fixture
async def sent(database_tenant: DatabaseTenant) -> DatabaseSend:
    return await database_tenant.send()


@pytest.fixture(name="sent")
async def claimed_send(database_tenant: DatabaseTenant) -> DatabaseSend:
    """A call is under way."""
    sent = await database_tenant.send()
    await sent.claim()
    return sent
