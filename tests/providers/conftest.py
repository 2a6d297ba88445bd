"""A database per module that no dispatcher reads, and a tenant in it; the vendors come from the harnesses."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.sends import Desk, open_desk


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database)
