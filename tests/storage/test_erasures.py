"""Erase recipients: delete their data, stop their open notifications and change no other recipient."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Text, cast, func, select, text
from sqlmodel import SQLModel

from domain.channels import Channel, DeviceKind
from domain.suppressions import SuppressionReason
from models.erasures import Erasure
from models.schedules import Schedule
from storage import acceptance, devices, erasures, recipients, suppressions
from storage.acceptance import find_key_holders
from storage.database import Database
from storage.devices import NewDevice
from storage.preferences import read_recipient_context
from storage.suppressions import NewSuppression, SuppressionEntry
from tests.storage.locks import until_blocked
from tests.storage.plain_text import tables_containing
from tests.storage.recipient_histories import CANARY, StoredHistory, recipient_with_history
from tests.storage.sends import DatabaseTenant, new_tenant, open_database_tenant

pytestmark = pytest.mark.postgres

PERSONAL = {
    "attempt",
    "delivery",
    "inbox_message",
    "multi_send",
    "notification",
    "receipt",
    "recipient",
    "sandbox_message",
    "schedule",
}
KINDS = {
    "profiles": 1,
    "preferences": 1,
    "devices": 1,
    "notifications": 1,
    "deliveries": 1,
    "attempts": 1,
    "receipts": 2,
    "suppressions": 1,
    "event_messages": 0,
    "inbox_messages": 1,
    "attachments": 0,
    "sandbox_messages": 1,
    "subscriptions": 1,
    "schedules": 1,
    "schedule_occurrences": 1,
}


async def tables_that_quote(database: Database, known: StoredHistory) -> set[str]:
    """Where the canary stands in a row of this tenant; receipts have no tenant and are found by id."""
    mine = (str(known.tenant), *map(str, known.receipt_ids))
    found = set()
    async with database.transaction() as session:
        for table in SQLModel.metadata.sorted_tables:
            as_text = cast(func.to_jsonb(table.alias("whole_row").table_valued()), Text)
            rows = (await session.execute(select(as_text).where(as_text.contains(CANARY)))).scalars()
            if any(owner in row for row in rows for owner in mine):
                found.add(table.name)
    return found


async def erase(database: Database, known: StoredHistory) -> Erasure:
    async with database.transaction() as session:
        erasure = await erasures.erase_at_once(session, known.tenant, known.recipient_id)
    assert erasure is not None
    return erasure


async def suppress(database: Database, tenant: UUID, address: str = CANARY) -> SuppressionEntry:
    new = NewSuppression(
        channel=Channel.EMAIL,
        address_hash=database.encryption.address_hash(tenant, "email", address),
        address={"email": address},
        reason=SuppressionReason.BOUNCED,
        source="sandbox",
    )
    async with database.transaction() as session:
        return (await suppressions.add(session, tenant, new))[0]


async def notification(database: Database, known: StoredHistory) -> Any:
    statement = text("SELECT * FROM notification WHERE id = :id")
    async with database.transaction() as session:
        return (await session.execute(statement, {"id": known.notification_id})).mappings().one()


async def test_no_table_keeps_personal_data(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    await suppress(database, known.tenant)
    assert await tables_that_quote(database, known) == PERSONAL | {"suppression"}
    erasure = await erase(database, known)
    assert await tables_that_quote(database, known) == set()
    assert erasure.counts == {**KINDS, "canceled": 0}
    assert erasure.finished_at is not None
    assert erasure.finished_at >= erasure.requested_at


async def test_sent_notifications_stay_counted(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    before = await notification(database, known)
    await erase(database, known)
    after = await notification(database, known)
    forgotten = ("event_payload", "revision", "tags", "idempotency_key", "holds_idempotency_key")
    changed: dict[str, Any] = dict.fromkeys(forgotten)
    assert {**after, **changed} == {**before, **changed}


async def cancels_due(database: Database, id: UUID) -> list[bool]:
    async with database.transaction() as session:
        found = await session.execute(
            text("SELECT cancel_due FROM queue_entry WHERE notification_id = :id"), {"id": id}
        )
        return list(found.scalars())


async def test_an_open_notification_is_canceled_and_its_readers_are_fenced(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database), finished=False)
    before = await notification(database, known)
    erasure = await erase(database, known)
    after = await notification(database, known)
    assert erasure.counts["canceled"] == 1
    assert after["cancel_requested_at"] is not None
    assert await cancels_due(database, before["id"]) == [True]
    assert after["revision"] == before["revision"] + 1


async def test_others_keep_everything(database: Database) -> None:
    tenant, other_tenant = await new_tenant(database), await new_tenant(database)
    erased = await recipient_with_history(database, tenant, "ada")
    others = [
        await recipient_with_history(database, tenant, "bob"),
        await recipient_with_history(database, other_tenant, "ada"),
    ]
    await erase(database, erased)
    for other in others:
        is_same_address = {"multi_send"} if other.tenant == tenant else set()  # a key that quotes the erased address
        assert await tables_that_quote(database, other) == PERSONAL - is_same_address
        async with database.transaction() as session:
            assert await recipients.find(session, other.tenant, other.recipient_id) is not None
            assert len(await devices.list_devices(session, other.tenant, other.recipient_id)) == 1


async def test_a_suppression_stays_in_force_and_forgets_its_address(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    mine, theirs = await suppress(database, known.tenant), await suppress(database, known.tenant, "bob@example.com")
    await erase(database, known)
    async with database.transaction() as session:
        after = await suppressions.find(session, known.tenant, mine.id)
        assert await suppressions.find(session, known.tenant, theirs.id) == theirs
    assert after == replace(mine, address=None)
    assert (await suppress(database, known.tenant)).id == mine.id


async def test_a_former_address_of_the_recipient_is_erased(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    old = "old@example.com"
    suppressed = await suppress(database, known.tenant, old)
    statement = text("UPDATE attempt SET address_hash = :key WHERE id = :id")
    key = database.encryption.address_hash(known.tenant, "email", old)
    async with database.transaction() as session:
        await session.execute(statement, {"key": key, "id": known.attempt_id})
    await erase(database, known)
    async with database.transaction() as session:
        after = await suppressions.find(session, known.tenant, suppressed.id)
        keys = await session.execute(text("SELECT address_hash FROM attempt WHERE id = :id"), {"id": known.attempt_id})
    assert after == replace(suppressed, address=None)
    assert keys.scalar_one() is None


async def test_a_changed_address_without_sends_is_erased(
    database: Database,
) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    earlier = [await suppress(database, known.tenant)]
    for address in ("second@example.com", "third@example.com"):
        async with database.transaction() as session:
            await recipients.merge_profile(session, known.tenant, known.recipient_id, {"contact": {"email": address}})
        earlier.append(await suppress(database, known.tenant, address))
    await erase(database, known)
    async with database.transaction() as session:
        for each in earlier:
            assert await suppressions.find(session, known.tenant, each.id) == replace(each, address=None)


@pytest.mark.parametrize("recipient_id", ["ada@example.com", "+44 7700 900123", "447700900123"])
async def test_a_recipient_id_that_is_an_address_is_replaced(database: Database, recipient_id: str) -> None:
    tenant = await new_tenant(database)
    known = await recipient_with_history(database, tenant, recipient_id, finished=False)
    async with database.transaction() as session:
        contact = {"contact": {"phone": "+447700900123"}}
        await recipients.merge_profile(session, tenant, recipient_id, contact)
        waiting = "UPDATE queue_entry SET recipient_id = :id, waits_for = 'quiet_hours' WHERE tenant = :tenant"
        await session.execute(text(waiting), {"id": recipient_id, "tenant": tenant})
    erasure = await erase(database, known)
    assert (await notification(database, known))["recipient_id"] == f"erased-{erasure.id}"
    found = {
        table: rows
        for table, rows in (await tables_containing(database, recipient_id)).items()
        if str(tenant) in str(rows)
    }
    assert found == {}


async def test_a_schedule_of_others_loses_quotes_of_the_recipient(database: Database) -> None:
    tenant = await new_tenant(database)
    known = await recipient_with_history(database, tenant)
    payload = {"from": CANARY, "text": f"Ask {CANARY.upper()}!", "ids": ["ada", "adam"], "count": 3, "shop": "A"}
    spec = {"recipients": ["ada", "bob"], "tags": [f"by-{CANARY}", "weekly"], "payload": payload, "cron": "0 9 * * *"}
    async with database.transaction() as session:
        shared = Schedule(tenant=tenant, key="shared", notification_type="report", spec=spec)
        session.add(shared)
    await erase(database, known)
    async with database.transaction() as session:
        after = await session.get_one(Schedule, shared.id)
    assert (after.spec["recipients"], after.spec["tags"]) == (["bob"], ["by-", "weekly"])
    assert after.spec["payload"] == {"from": "", "text": "Ask !", "ids": ["", "adam"], "count": 3, "shop": "A"}


async def test_the_account_belongs_to_its_tenant(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    erasure = await erase(database, known)
    async with database.transaction() as session:
        assert await erasures.find(session, known.tenant, erasure.id) == erasure
        assert await erasures.find(session, await new_tenant(database), erasure.id) is None


async def test_a_recipient_is_erased_once(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    await erase(database, known)
    async with database.transaction() as session:
        assert await erasures.erase_at_once(session, known.tenant, known.recipient_id) is None


async def test_a_device_registered_during_an_erasure_is_not_found(database: Database) -> None:
    known = await recipient_with_history(database, await new_tenant(database))
    device = NewDevice(device="late", kind=DeviceKind.FCM, address={"token": "late"})

    async def register() -> object:
        async with database.transaction() as session:
            return await devices.save(session, known.tenant, known.recipient_id, device)

    async with database.transaction() as session:
        await erasures.erase_at_once(session, known.tenant, known.recipient_id)
        waiting = asyncio.create_task(register())
        await until_blocked(database, waiting)
    assert await waiting is None


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


async def test_only_keys_that_quote_the_recipient_are_replaced_and_all_stay_taken(database: Database) -> None:
    """A key that is free again would let the same request send twice to all of its recipients."""
    database_tenant = await open_database_tenant(database)
    quoting, others = {"to-ada@example.com", "ADA@EXAMPLE.COM"}, {"ada@example.community", "xada@example.com", "ada"}
    async with database.transaction() as session:
        for key in quoting | others:
            assert await acceptance.store_results(session, database_tenant.tenant, key, "hash", [], 60)
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    left = await database_tenant.query(
        "SELECT idempotency_key FROM multi_send WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    kept = {row["idempotency_key"] for row in left}
    assert (len(kept), {key for key in kept if "@" in key}) == (5, others - {"ada"})
    async with database.transaction() as session:
        for key in quoting | others:
            assert await acceptance.find_results(session, database_tenant.tenant, key) is not None
            assert set(await find_key_holders(session, database_tenant.tenant, [key], 60)) == {key}
            assert not await acceptance.store_results(session, database_tenant.tenant, key, "hash", [], 60)


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
