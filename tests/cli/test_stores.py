"""`tocsin temporal`: an operator sees another store and confirms it."""

from collections.abc import AsyncIterator

import pytest

from commands import store_reports as stores
from commands.errors import CommandError
from config import Settings
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.queues import accepted, started
from tests.storage.recoveries import batch, seen
from tests.storage.sends import open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


def settings(database: Database) -> Settings:
    return Settings(env="dev", database_url=database.url, temporal_address="127.0.0.1:1", _env_file=None)


async def test_a_store_is_shown_confirmed_and_recovered(database: Database) -> None:
    given = settings(database)
    with pytest.raises(CommandError, match="no process has seen a Temporal store yet"):
        await stores.described(given)
    await seen(database, "old")
    assert await stores.described(given) == "store     old, last seen 0 s ago"
    await started(database, *(await accepted(await open_desk(database), 3, 3)))
    await seen(database, "new")
    assert "tocsin temporal adopt new" in await stores.described(given)
    assert (await stores.adopt(given, "new")).startswith("new is adopted within seconds")
    assert (await seen(database, "new")).lost == 2
    await batch(database, 1)
    assert (await stores.described(given)).splitlines() == [
        "store     new, last seen 0 s ago",
        "recovery  since 0 s ago: 1 started again, 1 left",
    ]
    await batch(database)
    assert (await stores.described(given)).endswith("recovery  finished 0 s ago: 2 started again")
    assert await stores.adopt(given, "new") == "new is adopted already"


async def test_a_store_that_no_process_sees_is_not_confirmed(database: Database) -> None:
    with pytest.raises(CommandError, match="no process has seen a Temporal store yet"):
        await stores.adopt(settings(database), "new")
    await seen(database, "old")
    with pytest.raises(CommandError, match="no process sees the store new now"):
        await stores.adopt(settings(database), "new")
