"""Erase recipients with many notifications, batch by batch, while others are written."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from models.erasures import Erasure
from storage import erasures, recipients
from storage.database import Database
from storage.preferences import read_recipient_context
from tests.storage.plain_text import tables_containing
from tests.storage.recipient_histories import CANARY
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

MANY = """
WITH made AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         holds_idempotency_key, created_at, finished_at, generation, revision)
  SELECT gen_random_uuid(), :tenant, :recipient, 'order.shipped', :type, '{"name": "Ada"}',
         CASE WHEN n % 10 = 0 THEN 'PENDING' ELSE 'DELIVERED' END, 3, '{}', false, now(),
         CASE WHEN n % 10 > 0 THEN now() END, 1, 3 FROM generate_series(1, CAST(:size AS int)) AS n
  RETURNING id, tenant, finished_at
), queued AS (
  INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at)
  SELECT id, 1, tenant, 3, 'started', now(), now() FROM made WHERE finished_at IS NULL
)
INSERT INTO delivery (id, tenant, notification_id, generation, step, channel, is_skipped_by_rule, status, created_at,
       rendered_content)
SELECT gen_random_uuid(), tenant, id, 1, 1, 'email', false, 'SENT', now(), '{"subject": "Dear Ada"}' FROM made
"""


AT_ONCE = 10_000
TRACES = """
WITH quoted AS (
  UPDATE notification SET tags = ARRAY[CAST(:words AS text)], idempotency_key = :words || id, cancel_key = :words
   WHERE tenant = :tenant RETURNING id
), waiting AS (
  UPDATE queue_entry SET recipient_id = :recipient, waits_for = 'quiet_hours' WHERE tenant = :tenant
), digests AS (
  INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule, is_full,
       item_count, item_bytes,
         opened_at, closes_at)
  SELECT id, :tenant, 'order.shipped', :type, :recipient, id::text, false, false, 1, 1, now(), now() FROM quoted
), endpoint AS (
  INSERT INTO event_endpoint (id, tenant, key, url, events, secret, enabled, created_at, updated_at)
  VALUES (gen_random_uuid(), :tenant, 'audit', '', '{}', '', true, now(), now()) RETURNING id
)
INSERT INTO event_message (id, tenant, endpoint_id, notification_id, kind, occurred_at, body, attempt_count, attempts)
SELECT gen_random_uuid(), :tenant, endpoint.id, quoted.id, 'delivered', now(),
       jsonb_build_object('data', jsonb_build_object(
         'recipient_id', CAST(:recipient AS text), 'tags', CAST(:words AS text)))::text, 0, '[]'
  FROM quoted, endpoint
"""
# Its id is lower than those that have been blanked.
LATE = """
INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       holds_idempotency_key, created_at, finished_at, generation, revision)
VALUES (:id, :tenant, :recipient, 'order.shipped', :type, CAST(:words AS jsonb), 'DELIVERED', 3, '{}', false, now(),
        now(), 1, 3)
"""
RECORDED = """UPDATE delivery SET rendered_content = '{"subject": "late"}' WHERE tenant = :tenant"""


async def add_notifications(database_tenant: DatabaseTenant, size: int) -> None:
    while size > 0:
        of = {
            "tenant": database_tenant.tenant,
            "recipient": database_tenant.recipient_id,
            "type": database_tenant.type_id,
        }
        await database_tenant.query(MANY, **of, size=min(size, AT_ONCE))
        size -= AT_ONCE


async def erase_in_batches(database_tenant: DatabaseTenant, limit: int) -> Erasure:
    async with database_tenant.database.transaction() as session:
        begun = await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, limit)
    assert begun is not None
    assert begun.finished_at is None
    while await continued(database_tenant.database, limit):
        pass
    async with database_tenant.database.transaction() as session:
        erasure = await erasures.find(session, database_tenant.tenant, begun.id)
    assert erasure is not None
    return erasure


async def continued(database: Database, limit: int) -> bool:
    async with database.transaction() as session:
        return await erasures.erase_next_batch(session, limit)


@pytest.mark.parametrize(("size", "limit"), [(25, 10), (20, 10), pytest.param(100_000, 500, marks=pytest.mark.long)])
async def test_many_notifications_are_erased_in_batches(database: Database, size: int, limit: int) -> None:
    database_tenant = await open_database_tenant(database)
    await add_notifications(database_tenant, size)
    erasure = await erase_in_batches(database_tenant, limit)
    assert erasure.finished_at is not None
    assert [erasure.counts[kind] for kind in ("notifications", "deliveries", "canceled")] == [size, size, size // 10]
    assert erasure.counts["profiles"] == 1
    left = await database_tenant.query(
        "SELECT count(*) AS rows FROM notification n JOIN delivery d ON d.notification_id = n.id"
        " WHERE n.tenant = :tenant AND (event_payload <> '{}' OR rendered_content IS NOT NULL)",
        tenant=database_tenant.tenant,
    )
    signaled = await database_tenant.query(
        "SELECT count(*) AS rows FROM queue_entry WHERE tenant = :tenant AND cancel_due", tenant=database_tenant.tenant
    )
    assert (left[0]["rows"], signaled[0]["rows"]) == (0, size // 10)
    named = await database_tenant.query(
        "SELECT 1 FROM erasure WHERE recipient_id IS NOT NULL AND tenant = :id", id=database_tenant.tenant
    )
    assert named == []


@pytest.mark.parametrize("recipient_id", ["erin@example.com", "erin"])
async def test_an_erasure_in_batches_leaves_nothing_of_the_recipient(database: Database, recipient_id: str) -> None:
    database_tenant = replace(await open_database_tenant(database), recipient_id=recipient_id)
    async with database.transaction() as session:
        await recipients.replace_profile(
            session, database_tenant.tenant, recipient_id, {"contact": {"email": f"{CANARY}@example.com"}}
        )
    await add_notifications(database_tenant, 25)
    await database_tenant.query(
        TRACES, tenant=database_tenant.tenant, type=database_tenant.type_id, recipient=recipient_id, words=CANARY
    )
    async with database.transaction() as session:
        begun = await erasures.begin_erasure(session, database_tenant.tenant, recipient_id, 10)
    assert begun is not None
    for _ in range(2):
        await continued(database, 10)
    late = {"id": UUID(int=uuid4().int >> 32), "words": f'{{"words": "{CANARY}"}}'}
    await database_tenant.query(
        LATE, tenant=database_tenant.tenant, type=database_tenant.type_id, recipient=recipient_id, **late
    )
    async with database.transaction() as session:
        again = await erasures.begin_erasure(session, database_tenant.tenant, recipient_id, 10)
    assert again is not None
    assert again.id == begun.id
    await continued(database, 10)
    await database_tenant.query(RECORDED, tenant=database_tenant.tenant)
    while await continued(database, 10):
        pass
    async with database.transaction() as session:
        erasure = await erasures.find(session, database_tenant.tenant, begun.id)
    assert erasure is not None
    assert (erasure.counts["notifications"], erasure.counts["event_messages"]) == (26, 25)
    replacement_id = f"erased-{begun.id}" if "@" in recipient_id else recipient_id
    named = await database_tenant.query(
        "SELECT recipient_id FROM notification WHERE tenant = :tenant UNION"
        " SELECT recipient_id FROM digest WHERE tenant = :tenant UNION"
        " SELECT recipient_id FROM queue_entry WHERE tenant = :tenant",
        tenant=database_tenant.tenant,
    )
    assert named == [{"recipient_id": replacement_id}]
    addresses = [recipient_id] if "@" in recipient_id else []
    left = await tables_containing(database, CANARY, '"late"', *addresses)
    assert [row for rows in left.values() for row in rows if str(database_tenant.tenant) in row] == []


async def test_nothing_is_sent_while_an_erasure_is_under_way(database: Database) -> None:
    """The open notifications are the newest, which the batches come to last."""
    database_tenant = await open_database_tenant(database)
    await add_notifications(database_tenant, 25)
    sent = await database_tenant.send()
    async with database.transaction() as session:
        assert await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, 10)
        audience = await read_recipient_context(session, sent.id, database_tenant.tenant)
    assert audience is not None
    assert not audience.is_known
    assert await sent.claim() is None
    while await continued(database, 10):
        pass


async def test_a_recipient_with_few_notifications_is_erased_at_once(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    await add_notifications(database_tenant, 10)
    async with database.transaction() as session:
        erasure = await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, 10)
        assert await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, 10) is None
    assert erasure is not None
    assert (erasure.finished_at is not None, erasure.counts["notifications"]) == (True, 10)


async def test_a_repeated_erasure_request_returns_the_running_one(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    await add_notifications(database_tenant, 25)
    ids = []
    for _ in range(2):
        async with database.transaction() as session:
            erasure = await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, 10)
        assert erasure is not None
        ids.append(erasure.id)
        await continued(database, 10)
    assert ids[0] == ids[1]
    done = await database_tenant.query(
        "SELECT count(*) AS rows FROM notification WHERE tenant = :tenant AND event_payload = '{}'",
        tenant=database_tenant.tenant,
    )
    assert done[0]["rows"] == 20
    while await continued(database, 10):
        pass


async def test_rows_recorded_during_an_erasure_are_blanked(
    database: Database,
) -> None:
    database_tenant = await open_database_tenant(database)
    await add_notifications(database_tenant, 15)
    async with database.transaction() as session:
        assert await erasures.begin_erasure(session, database_tenant.tenant, database_tenant.recipient_id, 10)
    for _ in range(2):
        await continued(database, 10)
    await database_tenant.query(RECORDED, tenant=database_tenant.tenant)
    async with database.transaction() as session:
        assert await recipients.find(session, database_tenant.tenant, database_tenant.recipient_id) is None
        await recipients.replace_profile(session, database_tenant.tenant, database_tenant.recipient_id, {})
    later = await database_tenant.send()
    while await continued(database, 10):
        pass
    rendered = await database_tenant.query(
        "SELECT DISTINCT notification_id FROM delivery WHERE tenant = :tenant AND rendered_content IS NOT NULL",
        tenant=database_tenant.tenant,
    )
    assert [row["notification_id"] for row in rendered] == [later.id]
