"""The gauges of the installation: right numbers, and statements that read indexes of what is open."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.clock import now
from domain.names import timed_id
from metrics.samples import GAUGE_DEFINITIONS, Sample
from storage import samples
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

OPEN = 30_000
FILL = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, waits_for, claimed_by)
SELECT uuidv7(), 1, :tenant, 3 + n % 2, CASE WHEN n % 10 = 0 THEN 'waiting' ELSE 'due' END,
       now() - interval '40 seconds', CASE WHEN n % 10 = 0 THEN 'provider_busy' END, NULL
  FROM generate_series(1, :open) AS n
"""
RECEIPTS = """
INSERT INTO receipt (id, provider, kind, occurred_at, received_at, raw, attempt_count, next_attempt_at, applied_at)
SELECT gen_random_uuid(), 'smtp', 'delivered', now(), now(), '{}', n % 2,
       CASE WHEN n <= 4 THEN now() - interval '9 seconds' END, CASE WHEN n > 4 THEN now() END
  FROM generate_series(1, 20000) AS n
"""
OLDEST = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)
VALUES (:id, 1, :tenant, 3, 'started', now())
"""
SCANS = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0"
LARGE = {"queue_entry", "receipt", "delivery", "event_message", "notification"}


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture(scope="module")
async def database_tenant(database: Database) -> DatabaseTenant:
    database_tenant = await open_database_tenant(database)
    await database_tenant.query(FILL, tenant=database_tenant.tenant, open=OPEN)
    await database_tenant.query(
        OLDEST, tenant=database_tenant.tenant, id=timed_id(now() - timedelta(hours=2), "the oldest")
    )
    await database_tenant.query(RECEIPTS)
    await database_tenant.query("ANALYZE queue_entry, receipt")
    return database_tenant


async def read(database: Database) -> Sample:
    async with database.transaction() as session:
        return await samples.read_sample(session, ["smtp"])


async def test_depth_and_age_are_those_of_each_priority(database: Database, database_tenant: DatabaseTenant) -> None:
    values = (await read(database)).values
    assert values["tocsin_queue_depth"] == {"1": 0, "2": 0, "3": 12_000, "4": 15_000, "5": 0}
    ages = values["tocsin_queue_age_seconds"]
    assert ages["1"] == 0
    assert ages["3"] >= 40


async def test_waits_receipts_and_circuits_are_read(database: Database, database_tenant: DatabaseTenant) -> None:
    sample = await read(database)
    assert sample.values["tocsin_waits"]["provider_busy"] == 3000
    assert sample.values["tocsin_receipts_waiting"] == {"": 4}
    assert sample.values["tocsin_receipts_unmatched"] == {"": 2}
    assert sample.values["tocsin_receipt_lag_seconds"][""] >= 9
    assert sample.circuits == {"smtp": "closed"}
    assert set(sample.values) == set(GAUGE_DEFINITIONS)


async def test_the_oldest_open_notification_is_known_by_its_id(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    age = (await read(database)).values["tocsin_oldest_open_notification_age_seconds"][""]
    assert 7200 <= age < 10_800


async def test_a_count_ends_at_its_limit(
    database: Database, database_tenant: DatabaseTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = samples.SELECT_QUEUE.text.replace("20000", "500")
    monkeypatch.setattr(samples, "SELECT_QUEUE", text(limited))
    assert (await read(database)).values["tocsin_queue_depth"]["3"] == 500


async def test_no_statement_reads_a_whole_table(database: Database, database_tenant: DatabaseTenant) -> None:
    async with database.transaction() as session:
        await samples.read_sample(session, ["smtp"])
        scanned = {row.relname for row in await session.execute(text(SCANS))}
    assert scanned & LARGE == set()


async def test_a_statement_that_takes_too_long_is_ended(database: Database, database_tenant: DatabaseTenant) -> None:
    async with database.transaction() as session:
        await samples.read_sample(session, ["smtp"])
        limit = (await session.execute(text("SHOW statement_timeout"))).scalar_one()
    assert limit == samples.STATEMENT_TIMEOUT
