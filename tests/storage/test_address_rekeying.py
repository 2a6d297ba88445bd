"""The first start with keys, on a database of an earlier version: page by page, by one process."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from models.columns import new_id
from storage import address_rekeying, encryption_keys
from storage.database import Database
from storage.encryption_keys import verify_keys
from tests.storage.databases import own_database
from tests.storage.sends import open_database_tenant

pytestmark = pytest.mark.postgres

SUPPRESS = """
INSERT INTO suppression (id, tenant, channel, address_hash, reason, source, created_at)
VALUES (:id, :tenant, 'sms', :hash, 'opted_out', 'sandbox', now())
"""
IDLE = "SELECT count(*) AS open FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"


@pytest.fixture
async def own(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def test_all_pages_are_keyed_once_by_one_of_two_processes(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_rekeying, "PAGE_SIZE", 2)
    database_tenant = await open_database_tenant(own)
    hashes = [sha256(str(number).encode()).hexdigest() for number in range(5)]
    for each in hashes:
        await database_tenant.query(SUPPRESS, id=new_id(), tenant=database_tenant.tenant, hash=each)
    await asyncio.gather(verify_keys(own), verify_keys(own))
    rows = await database_tenant.query(
        "SELECT address_hash FROM suppression WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert {row["address_hash"] for row in rows} == {own.encryption.lookup_hash(each) for each in hashes}


async def test_no_transaction_stays_open_during_the_rekeying(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres ends a session that is idle within one for ten seconds."""
    database_tenant, seen = await open_database_tenant(own), []

    async def renew(*_: object) -> None:
        seen.extend([row["open"] for row in await database_tenant.query(IDLE)])

    monkeypatch.setattr(encryption_keys, "renew_table", renew)
    await verify_keys(own)
    assert set(seen) == {0}
