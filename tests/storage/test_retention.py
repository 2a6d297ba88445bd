"""What is removed of old notifications and when, and what stays."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dispatch.pruning import PruningTask
from domain.clock import now
from domain.cursors import first_id_at
from domain.redrives import redrive_refusal
from metrics.registry import REGISTRY
from storage import dead_letters, retention
from storage.connections import is_outage
from storage.database import Database
from tests.storage.buffers import CountingSession
from tests.storage.databases import own_database
from tests.storage.queues import end_notifications
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
DAY = timedelta(days=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    database_tenant = await open_database_tenant(database)
    await database_tenant.query(
        "UPDATE tenant SET content_days = 10, record_days = 30 WHERE id = :id", id=database_tenant.tenant
    )
    return database_tenant


async def old_send(database_tenant: DatabaseTenant, days: int, *, is_open: bool = False) -> DatabaseSend:
    """A send that was accepted, and has ended, so many days ago."""
    at = now() - days * DAY
    sent = await database_tenant.send(id=UUID(int=first_id_at(at).int + days), event_payload={"name": "Ada"})
    await sent.claim()
    if not is_open:
        await end_notifications(database_tenant, sent.id)
        await database_tenant.query(
            "UPDATE notification SET finished_at = :at, created_at = :at WHERE id = :id", at=at, id=sent.id
        )
    return sent


async def prune(database: Database, *, min_retention: timedelta = DAY, batch_size: int = 200) -> None:
    work = PruningTask(database, min_retention, 7 * DAY, batch_size)
    while await work.prune() < 1:
        pass


async def payloads(database_tenant: DatabaseTenant) -> dict[UUID, Any]:
    rows = await database_tenant.query(
        "SELECT id, event_payload FROM notification WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    return {row["id"]: row["event_payload"] for row in rows}


async def test_messages_of_recipients_are_kept_as_long_as_content(database_tenant: DatabaseTenant) -> None:
    """Their events are deleted with them: they quote the text."""
    endpoint = await database_tenant.query(
        "INSERT INTO event_endpoint (id, tenant, key, url, events, secret, enabled, created_at, updated_at)"
        " VALUES (gen_random_uuid(), :tenant, 'crm', '', '{*}', '', true, now(), now()) RETURNING id",
        tenant=database_tenant.tenant,
    )
    ids = {days: UUID(int=first_id_at(now() - days * DAY).int + days) for days in (5, 20, 25)}
    for id in ids.values():
        await database_tenant.query(
            "INSERT INTO inbound_message (id, tenant, provider, address_hash, from_number, to_number, text,"
            " recipient_ids, received_at) VALUES (:id, :tenant, 'twilio', '', '+4477', '+4478', 'Hi', '{ada}', now())",
            **{"id": id, "tenant": database_tenant.tenant},
        )
        await database_tenant.query(
            "INSERT INTO event_message (id, tenant, endpoint_id, event_id, kind, occurred_at, body, attempt_count,"
            " attempts) VALUES (event_message_id(:id, :endpoint), :tenant, :endpoint, :id, 'message.received', now(),"
            " '{}', 0, '[]')",
            **{"id": id, "tenant": database_tenant.tenant, "endpoint": endpoint[0]["id"]},
        )
    await prune(database_tenant.database, batch_size=1)
    for table, column in (("inbound_message", "id"), ("event_message", "event_id")):
        rows = await database_tenant.query(
            f"SELECT {column} AS id FROM {table} WHERE tenant = :tenant", tenant=database_tenant.tenant
        )
        assert [row["id"] for row in rows] == [ids[5]]
    counts = await database_tenant.query("SELECT rows FROM pruned_count WHERE name = 'inbound_message'")
    assert [row["rows"] for row in counts] == [2]


async def test_content_is_removed_first_and_the_rows_later(database_tenant: DatabaseTenant) -> None:
    young, older, oldest = [await old_send(database_tenant, days) for days in (5, 20, 40)]
    await prune(database_tenant.database)
    assert await payloads(database_tenant) == {young.id: {"name": "Ada"}, older.id: {}}
    contents = {sent.id: [row["rendered_content"] for row in await sent.rows("delivery")] for sent in (young, older)}
    assert contents[older.id] == [None]
    assert contents[young.id] != [None]
    for table in ("event", "attempt", "delivery"):
        assert await oldest.rows(table) == []
        assert await older.rows(table) != []


async def test_an_open_notification_is_kept_however_old_it_is(database_tenant: DatabaseTenant) -> None:
    sent = await old_send(database_tenant, 40, is_open=True)
    await prune(database_tenant.database)
    assert await payloads(database_tenant) == {sent.id: {"name": "Ada"}}


async def test_one_that_ended_late_is_kept_from_its_end_on(database_tenant: DatabaseTenant) -> None:
    sent = await old_send(database_tenant, 40)
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=sent.id)
    await prune(database_tenant.database)
    assert await payloads(database_tenant) == {sent.id: {"name": "Ada"}}
    await database_tenant.query(
        "UPDATE notification SET finished_at = now() - interval '11 days' WHERE id = :id", id=sent.id
    )
    await database_tenant.query("UPDATE retention_pass SET pass_started_at = now() - interval '8 days'")
    await prune(database_tenant.database)
    assert await payloads(database_tenant) == {sent.id: {}}


async def test_nothing_is_removed_within_the_idempotency_window(database_tenant: DatabaseTenant) -> None:
    sent = await old_send(database_tenant, 40)
    await prune(database_tenant.database, min_retention=50 * DAY)
    assert await payloads(database_tenant) == {sent.id: {"name": "Ada"}}


async def test_batches_repeat_until_all_rows_are_removed_and_counted(database_tenant: DatabaseTenant) -> None:
    for days in range(40, 47):
        await old_send(database_tenant, days)
    await prune(database_tenant.database, batch_size=2)
    assert await payloads(database_tenant) == {}
    counts = {row["name"]: row["rows"] for row in await database_tenant.query("SELECT name, rows FROM pruned_count")}
    assert counts["notification"] == counts["delivery"] == counts["attempt"] == 7


async def test_one_without_its_content_is_not_sent_again(database_tenant: DatabaseTenant) -> None:
    sent = await old_send(database_tenant, 20)
    await database_tenant.query("UPDATE recipient SET created_at = now() - interval '30 days'")
    await prune(database_tenant.database)
    async with database_tenant.database.transaction() as session:
        found = await dead_letters.lock_target(session, database_tenant.tenant, sent.id)
    assert found is not None
    assert redrive_refusal(found.candidate, now(), force=True) == "content_removed"


async def test_another_tenant_has_its_own_days(database_tenant: DatabaseTenant) -> None:
    other = await open_database_tenant(database_tenant.database)
    await old_send(database_tenant, 40)
    kept = await old_send(other, 40)
    await prune(database_tenant.database)
    assert (await payloads(database_tenant), await payloads(other)) == ({}, {kept.id: {"name": "Ada"}})


OLD_ROWS = {
    "receipt": """
INSERT INTO receipt (id, provider, kind, occurred_at, received_at, raw, attempt_count, next_attempt_at)
SELECT gen_random_uuid(), 'sandbox', 'delivered', now(), now() - make_interval(days => n), '{}', 0,
       CASE WHEN n = 41 THEN now() END FROM (VALUES (1), (40), (41)) AS ages(n)""",
    "sandbox_receipt": """
INSERT INTO sandbox_receipt (id, message_id, attempt_id, kind, at, due_at, posted_at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'delivered', now(), now(),
       CASE WHEN n < 200 THEN now() - make_interval(days => n) END FROM (VALUES (1), (100), (200)) AS ages(n)""",
    "sandbox_call": """
INSERT INTO sandbox_call (id, attempt_id, delivery_id, endpoint_id, at)
SELECT id, gen_random_uuid(), gen_random_uuid(), 'email', now() - make_interval(days => n)
  FROM unnest(CAST(ARRAY[:old, :new, :new_too] AS uuid[]), ARRAY[100, 1, 0]) AS calls(id, n)""",
    "multi_send": """
INSERT INTO multi_send (id, tenant, idempotency_key, idempotency_hash, results, created_at, expires_at)
SELECT gen_random_uuid(), id, n, '', '[]', now(), now() - make_interval(days => n)
  FROM (SELECT id FROM tenant LIMIT 1) tenants, (VALUES (1), (-1), (-2)) AS ages(n)""",
    "schedule_run": """
WITH weekly AS (
  INSERT INTO schedule (id, tenant, key, notification_type, spec, created_at, updated_at)
  SELECT gen_random_uuid(), id, 'weekly', 'order.shipped', '{}', now(), now() FROM tenant LIMIT 1 RETURNING id, tenant
)
INSERT INTO schedule_run (id, schedule_id, tenant, kind, due_at, ran_at, accepted, skipped_recipients, finished_at)
SELECT gen_random_uuid(), weekly.id, tenant, 'due', now(), now(), 0, '{}',
       CASE WHEN n < 200 THEN now() - make_interval(days => n) END
  FROM weekly, (VALUES (1), (100), (200)) AS ages(n)""",
}


@pytest.mark.parametrize("table", OLD_ROWS)
async def test_rows_that_are_old_and_done_are_deleted(database_tenant: DatabaseTenant, table: str) -> None:
    ids = {"old": first_id_at(now() - 100 * DAY), "new": first_id_at(now() - DAY), "new_too": first_id_at(now())}
    insert = OLD_ROWS[table]
    await database_tenant.query(insert, **{name: id for name, id in ids.items() if f":{name}" in insert})
    await prune(database_tenant.database)
    [row] = await database_tenant.query(f"SELECT count(*) AS kept FROM {table}")
    assert row["kept"] == 2


async def test_a_batch_that_takes_too_long_is_ended_and_counted(
    database_tenant: DatabaseTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SET_TIMEOUT", text("SET LOCAL statement_timeout = '50ms'"))
    before = reached()
    async with database_tenant.database.transaction() as session:
        await session.execute(text("LOCK TABLE receipt"))
        with pytest.raises(DBAPIError) as raised:
            await prune(database_tenant.database)
    assert is_outage(raised.value)
    assert reached() == before + 1


def reached() -> float:
    return float(REGISTRY.get_sample_value("tocsin_limits_reached_total", {"limit": "pruning_time"}) or 0)


MANY = """
INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       holds_idempotency_key, created_at, finished_at, generation, revision, content_removed_at)
SELECT CAST(lpad(to_hex(CAST(:base AS bigint) + n), 12, '0') || '70008000000000000000' AS uuid), :tenant, 'ada',
       'order.shipped', :type, '{}', 'DELIVERED', 3, '{}', false, now() - interval '20 days',
       now() - interval '20 days', 1, 3, now() FROM generate_series(1, 10000) AS n
"""


async def test_a_pass_over_kept_rows_reads_one_batch_at_a_time(database_tenant: DatabaseTenant) -> None:
    base = first_id_at(now() - 20 * DAY).int >> 80
    await database_tenant.query(MANY, tenant=database_tenant.tenant, type=database_tenant.type_id, base=base)
    await database_tenant.query("ANALYZE notification")
    async with database_tenant.database.transaction() as session:
        counting = CountingSession(session)
        tenant = await retention.find_next_tenant(counting, UUID(int=0))
        assert tenant is not None
        await retention.delete_records(counting, tenant.id, now() - 30 * DAY, UUID(int=0), 200)
        await retention.remove_content(counting, tenant.id, now() - 10 * DAY, UUID(int=0), 200)
    assert sum(counting.pages) < 1_500, counting.pages
