"""Test `tocsin temporal`: an operator sees another store and confirms it."""

from collections.abc import AsyncIterator

import pytest

from commands import store_reports as stores
from commands.errors import CommandError
from config import Settings
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.queues import accept_notifications, claim_and_start
from tests.storage.sends import open_database_tenant
from tests.storage.store_changes import note_store, recover_batch

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
        await stores.describe_stores(given)
    await note_store(database, "old")
    assert await stores.describe_stores(given) == "store     old, last seen 0 s ago"
    await claim_and_start(database, *(await accept_notifications(await open_database_tenant(database), 3, 3)))
    await note_store(database, "new")
    assert "tocsin temporal adopt new" in await stores.describe_stores(given)
    assert (await stores.adopt(given, "new")).startswith("new will be adopted within seconds")
    assert (await note_store(database, "new")).lost == 2
    await recover_batch(database, 1)
    assert (await stores.describe_stores(given)).splitlines() == [
        "store     new, last seen 0 s ago",
        "recovery  since 0 s ago: 1 restarted, 1 left",
    ]
    await recover_batch(database)
    assert (await stores.describe_stores(given)).endswith("recovery  finished 0 s ago: 2 restarted")
    assert await stores.adopt(given, "new") == "new is already adopted"


async def test_a_store_that_no_process_sees_is_not_confirmed(database: Database) -> None:
    with pytest.raises(CommandError, match="no process has seen a Temporal store yet"):
        await stores.adopt(settings(database), "new")
    await note_store(database, "old")
    with pytest.raises(CommandError, match="no process sees the store new now"):
        await stores.adopt(settings(database), "new")
