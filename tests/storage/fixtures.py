"""Rows without the engine: a database per module that no dispatcher reads, a tenant with a type, and one send."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.sends import Desk, Sent, open_desk


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database)


@pytest.fixture
async def sent(desk: Desk) -> Sent:
    return await desk.send()
