"""Provide a database per module that no dispatcher of a running engine reads."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.storage.databases import own_database


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database
