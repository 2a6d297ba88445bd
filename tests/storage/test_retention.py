"""What is removed of old notifications and when, and what stays."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dispatch.pruning import Pruning
from domain.clock import now
from domain.redrives import refusal
from metrics.registry import REGISTRY
from storage import pruning, redrives, retention
from storage.database import Database
from storage.outages import is_outage
from storage.pruned_counts import pruned_rows
from storage.retention import id_at
from tests.storage.buffers import CountingSession
from tests.storage.databases import own_database
from tests.storage.queues import ended
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres
DAY = timedelta(days=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def desk(database: Database) -> Desk:
    desk = await open_desk(database)
    await desk.query("UPDATE tenant SET content_days = 10, record_days = 30 WHERE id = :id", id=desk.tenant)
    return desk


async def old_send(desk: Desk, days: int, *, is_open: bool = False) -> Sent:
    """A send that was accepted, and has ended, so many days ago."""
    at = now() - days * DAY
    sent = await desk.send(id=UUID(int=id_at(at).int + days), event_payload={"name": "Ada"})
    await sent.claim()
    if not is_open:
        await ended(desk, sent.id)
        await desk.query(
            "UPDATE notification SET finished_at = :at, created_at = :at WHERE id = :id", at=at, id=sent.id
        )
    return sent


async def prune(database: Database, *, kept_at_least: timedelta = DAY, batch_size: int = 200) -> None:
    work = Pruning(database, kept_at_least, batch_size)
    while await work.prune() < 1:
        pass


async def payloads(desk: Desk) -> dict[UUID, Any]:
    rows = await desk.query("SELECT id, event_payload FROM notification WHERE tenant = :tenant", tenant=desk.tenant)
    return {row["id"]: row["event_payload"] for row in rows}


async def test_content_is_removed_first_and_the_rows_later(desk: Desk) -> None:
    young, older, oldest = [await old_send(desk, days) for days in (5, 20, 40)]
    await prune(desk.database)
    assert await payloads(desk) == {young.id: {"name": "Ada"}, older.id: {}}
    contents = {sent.id: [row["rendered_content"] for row in await sent.rows("delivery")] for sent in (young, older)}
    assert contents[older.id] == [None]
    assert contents[young.id] != [None]
    for table in ("event", "attempt", "delivery"):
        assert await oldest.rows(table) == []
        assert await older.rows(table) != []


async def test_an_open_notification_is_kept_however_old_it_is(desk: Desk) -> None:
    sent = await old_send(desk, 40, is_open=True)
    await prune(desk.database)
    assert await payloads(desk) == {sent.id: {"name": "Ada"}}


async def test_one_that_ended_late_is_kept_from_its_end_on(desk: Desk) -> None:
    sent = await old_send(desk, 40)
    await desk.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=sent.id)
    await prune(desk.database)
    assert await payloads(desk) == {sent.id: {"name": "Ada"}}
    await desk.query("UPDATE notification SET finished_at = now() - interval '11 days' WHERE id = :id", id=sent.id)
    await desk.query("UPDATE pruning SET began_at = now() - interval '8 days'")
    await prune(desk.database)
    assert await payloads(desk) == {sent.id: {}}


async def test_nothing_is_removed_within_the_idempotency_window(desk: Desk) -> None:
    sent = await old_send(desk, 40)
    await prune(desk.database, kept_at_least=50 * DAY)
    assert await payloads(desk) == {sent.id: {"name": "Ada"}}


async def test_batches_go_on_until_all_is_removed_and_each_is_counted(desk: Desk) -> None:
    for days in range(40, 47):
        await old_send(desk, days)
    await prune(desk.database, batch_size=2)
    assert await payloads(desk) == {}
    async with desk.database.transaction() as session:
        counts = await pruned_rows(session)
    assert counts["notification"] == counts["delivery"] == counts["attempt"] == 7


async def test_one_without_its_content_is_not_sent_again(desk: Desk) -> None:
    sent = await old_send(desk, 20)
    await desk.query("UPDATE recipient SET created_at = now() - interval '30 days'")
    await prune(desk.database)
    async with desk.database.transaction() as session:
        found = await redrives.find_one(session, desk.tenant, sent.id)
    assert found is not None
    assert refusal(found.candidate, now(), force=True) == "content_removed"


async def test_another_tenant_has_its_own_days(desk: Desk) -> None:
    other = await open_desk(desk.database)
    await old_send(desk, 40)
    kept = await old_send(other, 40)
    await prune(desk.database)
    assert (await payloads(desk), await payloads(other)) == ({}, {kept.id: {"name": "Ada"}})


OLD_ROWS = {
    "receipt": """
INSERT INTO receipt (id, provider, kind, occurred_at, received_at, raw, tries, next_try_at)
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
INSERT INTO schedule_run (id, schedule_id, tenant, kind, due_at, ran_at, accepted, left_out, finished_at)
SELECT gen_random_uuid(), weekly.id, tenant, 'due', now(), now(), 0, '{}',
       CASE WHEN n < 200 THEN now() - make_interval(days => n) END
  FROM weekly, (VALUES (1), (100), (200)) AS ages(n)""",
}


@pytest.mark.parametrize("table", OLD_ROWS)
async def test_rows_that_are_old_and_done_are_deleted(desk: Desk, table: str) -> None:
    ids = {"old": id_at(now() - 100 * DAY), "new": id_at(now() - DAY), "new_too": id_at(now())}
    insert = OLD_ROWS[table]
    await desk.query(insert, **{name: id for name, id in ids.items() if f":{name}" in insert})
    await prune(desk.database)
    [row] = await desk.query(f"SELECT count(*) AS kept FROM {table}")
    assert row["kept"] == 2


async def test_a_batch_that_takes_too_long_is_ended_and_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "TIMEOUT", text("SET LOCAL statement_timeout = '50ms'"))
    before = reached()
    async with desk.database.transaction() as session:
        await session.execute(text("LOCK TABLE receipt"))
        with pytest.raises(DBAPIError) as raised:
            await prune(desk.database)
    assert is_outage(raised.value)
    assert reached() == before + 1


def reached() -> float:
    return float(REGISTRY.get_sample_value("tocsin_limits_reached_total", {"limit": "pruning_time"}) or 0)


MANY = """
INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       idempotency_held, created_at, finished_at, generation, revision, content_removed_at)
SELECT CAST(lpad(to_hex(CAST(:base AS bigint) + n), 12, '0') || '70008000000000000000' AS uuid), :tenant, 'ada',
       'order.shipped', :type, '{}', 'DELIVERED', 3, '{}', false, now() - interval '20 days',
       now() - interval '20 days', 1, 3, now() FROM generate_series(1, 10000) AS n
"""


async def test_a_pass_over_what_is_kept_reads_a_batch_at_a_time(desk: Desk) -> None:
    base = id_at(now() - 20 * DAY).int >> 80
    await desk.query(MANY, tenant=desk.tenant, type=desk.type_id, base=base)
    await desk.query("ANALYZE notification")
    async with desk.database.transaction() as session:
        counting = CountingSession(session)
        tenant = await retention.next_tenant(counting, UUID(int=0))
        assert tenant is not None
        await retention.delete_records(counting, tenant.id, now() - 30 * DAY, UUID(int=0), 200)
        await retention.remove_content(counting, tenant.id, now() - 10 * DAY, UUID(int=0), 200)
    assert sum(counting.pages) < 1_500, counting.pages
