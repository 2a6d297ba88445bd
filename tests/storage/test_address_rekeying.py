"""The first start with keys, on a database of an earlier version: page by page, by one process."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from models.columns import new_id
from storage import address_rekeying, encryption_keys
from storage.database import Database
from storage.encryption_keys import confirm_keys
from tests.storage.databases import own_database
from tests.storage.sends import open_desk

pytestmark = pytest.mark.postgres

SUPPRESS = """
INSERT INTO suppression (id, tenant, channel, address_key, reason, source, created_at)
VALUES (:id, :tenant, 'sms', :hash, 'opted_out', 'sandbox', now())
"""
IDLE = "SELECT count(*) AS open FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"


@pytest.fixture
async def own(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def test_all_pages_are_keyed_once_by_one_of_two_processes(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_rekeying, "PAGE", 2)
    desk = await open_desk(own)
    hashes = [sha256(str(number).encode()).hexdigest() for number in range(5)]
    for each in hashes:
        await desk.query(SUPPRESS, id=new_id(), tenant=desk.tenant, hash=each)
    await asyncio.gather(confirm_keys(own), confirm_keys(own))
    rows = await desk.query("SELECT address_key FROM suppression WHERE tenant = :tenant", tenant=desk.tenant)
    assert {row["address_key"] for row in rows} == {own.encryption.lookup_hash(each) for each in hashes}


async def test_no_transaction_is_open_meanwhile(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres ends a session that is idle within one for ten seconds."""
    desk, seen = await open_desk(own), []

    async def renew(*_: object) -> None:
        seen.extend([row["open"] for row in await desk.query(IDLE)])

    monkeypatch.setattr(encryption_keys, "renew_table", renew)
    await confirm_keys(own)
    assert set(seen) == {0}
