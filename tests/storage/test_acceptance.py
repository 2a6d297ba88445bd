"""Accepting: one statement, one row per key, and nothing of what was refused."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from models.columns import new_id
from storage.acceptance import accept, find_key_holders
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
DAY = 86_400.0


async def rows(database_tenant: DatabaseTenant, table: str = "notification") -> list[dict[str, Any]]:
    return await database_tenant.query(
        f"SELECT * FROM {table} WHERE tenant = :tenant ORDER BY 1", tenant=database_tenant.tenant
    )


async def person(database_tenant: DatabaseTenant, recipient_id: str) -> dict[str, Any] | None:
    found = await database_tenant.query(
        "SELECT * FROM recipient WHERE tenant = :tenant AND recipient_id = :id",
        tenant=database_tenant.tenant,
        id=recipient_id,
    )
    return found[0] if found else None


async def held(database_tenant: DatabaseTenant, *keys: str, window: float = DAY) -> dict[str, dict[str, Any]]:
    async with database_tenant.database.transaction() as session:
        return await find_key_holders(session, database_tenant.tenant, list(keys), window)


async def test_a_send_is_one_due_pending_row_and_one_event(database_tenant: DatabaseTenant) -> None:
    item = database_tenant.new(tags=("spring",), priority=2, channels=["email"], event_payload={"n": 1})
    accepted = (await database_tenant.accept(item))[item.id]
    [row] = await rows(database_tenant)
    assert (row["id"], row["status"], row["priority"], row["generation"]) == (item.id, "PENDING", 2, 1)
    assert (row["tags"], row["channels"], row["event_payload"]) == (["spring"], ["email"], {"n": 1})
    assert accepted.created_at == row["created_at"]
    [entry] = await rows(database_tenant, "queue_entry")
    assert (entry["notification_id"], entry["generation"], entry["priority"]) == (item.id, 1, 2)
    assert (entry["state"], entry["next_at"], entry["started_at"]) == ("due", row["created_at"], None)
    assert [(e["kind"], e["status"]) for e in await rows(database_tenant, "event")] == [("accepted", "PENDING")]


async def test_a_type_of_another_tenant_is_rejected_by_the_database(database_tenant: DatabaseTenant) -> None:
    other = await open_database_tenant(database_tenant.database)
    item = replace(database_tenant.new(), type_id=other.type_id)
    with pytest.raises(IntegrityError, match="notification_type_of_same_tenant"):
        await database_tenant.accept(item)


async def test_it_expires_counted_from_send_at_else_from_now(database_tenant: DatabaseTenant) -> None:
    later = datetime(2030, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    now, then, never = (
        database_tenant.new(expires_in=hour),
        database_tenant.new(expires_in=hour, send_at=later),
        database_tenant.new(send_at=later),
    )
    accepted = await database_tenant.accept(now, then, never)
    created = accepted[now.id].created_at
    assert created is not None
    assert accepted[now.id].expires_at == created + hour
    assert accepted[then.id].expires_at == later + hour
    assert accepted[never.id].expires_at is None


async def test_an_expiry_beyond_the_calendar_is_its_last_day(database_tenant: DatabaseTenant) -> None:
    item = database_tenant.new(send_at=datetime(9999, 12, 31, 23, tzinfo=UTC), expires_in=timedelta(days=36_500))
    assert (await database_tenant.accept(item))[item.id].expires_at == datetime(9999, 12, 31, tzinfo=UTC)


async def test_an_unknown_recipient_leaves_nothing(database_tenant: DatabaseTenant) -> None:
    item = database_tenant.new("unknown", idempotency_key="k", idempotency_hash="h")
    accepted = (await database_tenant.accept(item))[item.id]
    assert (accepted.known_recipient, accepted.created_at) == (False, None)
    assert await rows(database_tenant) == await rows(database_tenant, "event") == []
    assert await person(database_tenant, "unknown") is None
    assert await held(database_tenant, "k") == {}


async def test_a_recipient_of_another_tenant_is_unknown(database_tenant: DatabaseTenant, database: Database) -> None:
    other = await open_database_tenant(database)
    async with database.transaction() as session:
        item = database_tenant.new("only-here", profile={"contact": {}})
        await accept(session, database_tenant.tenant, [item], notify=True)
        foreign = other.new("only-here")
        accepted = await accept(session, other.tenant, [foreign], notify=True)
    assert not accepted[foreign.id].known_recipient


async def test_a_batch_skips_only_its_unknown_recipients(database_tenant: DatabaseTenant) -> None:
    known, unknown = database_tenant.new(), database_tenant.new("unknown")
    accepted = await database_tenant.accept(known, unknown)
    assert {item.id: accepted[item.id].created_at is not None for item in (known, unknown)} == {
        known.id: True,
        unknown.id: False,
    }
    assert [row["id"] for row in await rows(database_tenant)] == [known.id]


async def test_an_inline_recipient_is_created_with_preferences(database_tenant: DatabaseTenant) -> None:
    profile = {"contact": {"email": "bob@example.com"}, "locale": "de", "attributes": {"vip": True}}
    await database_tenant.accept(database_tenant.new("bob", profile=profile))
    made = await person(database_tenant, "bob")
    assert made is not None
    assert (made["contact"], made["locale"], made["attributes"]) == ({"email": "bob@example.com"}, "de", {"vip": True})
    assert await database_tenant.query(
        "SELECT 1 AS one FROM user_preference WHERE user_id = 'bob' AND tenant = :t", t=database_tenant.tenant
    )


async def test_a_profile_given_inline_is_laid_over_the_known_one(database_tenant: DatabaseTenant) -> None:
    first = {"contact": {"email": "old@example.com", "phone": "+44"}, "locale": "de", "attributes": {"a": 1, "b": 1}}
    await database_tenant.accept(database_tenant.new("bob", profile=first))
    await database_tenant.query(
        "UPDATE user_preference SET global_channel_opt_in = '{\"sms\": false}' WHERE user_id = 'bob'"
    )
    await database_tenant.accept(
        database_tenant.new("bob", profile={"contact": {"email": "new@example.com"}, "attributes": {"b": 2}})
    )
    known = await person(database_tenant, "bob")
    assert known is not None
    assert known["contact"] == {"email": "new@example.com", "phone": "+44"}
    assert (known["locale"], known["attributes"]) == ("de", {"a": 1, "b": 2})
    said = "SELECT global_channel_opt_in AS said FROM user_preference WHERE user_id = 'bob' AND tenant = :t"
    assert [row["said"] for row in await database_tenant.query(said, t=database_tenant.tenant)] == [{"sms": False}]


async def test_one_recipient_twice_in_a_batch_has_the_last_profile(database_tenant: DatabaseTenant) -> None:
    items = [database_tenant.new("bob", profile={"contact": {"email": f"{n}@example.com"}}) for n in range(3)]
    accepted = await database_tenant.accept(*items)
    assert all(one.created_at for one in accepted.values())
    assert (await person(database_tenant, "bob") or {})["contact"] == {"email": "2@example.com"}


async def test_the_same_key_twice_is_one_notification(database_tenant: DatabaseTenant) -> None:
    first, duplicate = (database_tenant.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    await database_tenant.accept(first)
    accepted = (await database_tenant.accept(duplicate))[duplicate.id]
    assert (accepted.known_recipient, accepted.created_at) == (True, None)
    assert [row["id"] for row in await rows(database_tenant)] == [first.id]
    assert (await held(database_tenant, "k"))["k"]["id"] == first.id


async def test_the_same_key_twice_in_one_batch_is_one_notification(database_tenant: DatabaseTenant) -> None:
    await database_tenant.accept(*(database_tenant.new(idempotency_key="k", idempotency_hash="h") for _ in range(2)))
    assert len(await rows(database_tenant)) == 1


async def test_a_duplicate_waits_for_the_first_and_stores_nothing(database_tenant: DatabaseTenant) -> None:
    first, duplicate = (database_tenant.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    async with database_tenant.database.transaction() as session:
        await accept(session, database_tenant.tenant, [first], notify=True)
        waiting = asyncio.create_task(database_tenant.accept(duplicate))
        await until_blocked(database_tenant.database, waiting)
    assert (await waiting)[duplicate.id].created_at is None
    assert [row["id"] for row in await rows(database_tenant)] == [first.id]


async def test_a_concurrent_duplicate_of_a_rolled_back_send_is_accepted(database_tenant: DatabaseTenant) -> None:
    first, duplicate = (database_tenant.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    async with database_tenant.database.transaction() as session:
        await accept(session, database_tenant.tenant, [first], notify=True)
        waiting = asyncio.create_task(database_tenant.accept(duplicate))
        await until_blocked(database_tenant.database, waiting)
        await session.rollback()
    assert (await waiting)[duplicate.id].created_at is not None


async def test_two_tenants_may_use_the_same_key(database_tenant: DatabaseTenant, database: Database) -> None:
    other = await open_database_tenant(database)
    for one in (database_tenant, other):
        item = one.new(idempotency_key="k", idempotency_hash="h")
        assert (await one.accept(item))[item.id].created_at is not None
        assert (await held(one, "k"))["k"]["id"] == item.id


async def test_sends_without_a_key_are_never_the_same(database_tenant: DatabaseTenant) -> None:
    await database_tenant.accept(database_tenant.new(), database_tenant.new())
    assert len(await rows(database_tenant)) == 2


async def test_a_key_is_free_again_after_its_window_and_not_before(database_tenant: DatabaseTenant) -> None:
    first, again = (database_tenant.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    await database_tenant.accept(first)
    await database_tenant.query(
        "UPDATE notification SET created_at = now() - interval '25 hours' WHERE id = :id", id=first.id
    )
    assert "k" in await held(database_tenant, "k", window=26 * 3_600)
    assert await held(database_tenant, "k") == {}
    assert (await database_tenant.accept(again))[again.id].created_at is not None
    [old, new] = await rows(database_tenant)
    assert (old["idempotency_key"], old["holds_idempotency_key"], new["holds_idempotency_key"]) == ("k", False, True)
    assert (await held(database_tenant, "k"))["k"]["id"] == again.id


async def test_a_thousand_are_one_statement(database_tenant: DatabaseTenant) -> None:
    statements: list[str] = []

    def note(*args: Any) -> None:
        statements.append(args[2])

    engine = database_tenant.database.engine.sync_engine
    items = [database_tenant.new(f"p{n}", profile={"contact": {}}, idempotency_key=f"k{n}") for n in range(1_000)]
    event.listen(engine, "before_cursor_execute", note)
    try:
        accepted = await database_tenant.accept(*items)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1
    assert len(accepted) == 1_000
    assert all(one.created_at for one in accepted.values())
    assert len(await rows(database_tenant)) == len(await rows(database_tenant, "event")) == 1_000


async def test_batches_with_reversed_keys_do_not_deadlock(database_tenant: DatabaseTenant) -> None:
    keys = [f"k{n:03}" for n in range(200)]
    orders = [keys, keys[::-1]] * 3
    batches = [[database_tenant.new(idempotency_key=k, idempotency_hash="h") for k in order] for order in orders]
    answers = await asyncio.gather(*(database_tenant.accept(*batch) for batch in batches))
    assert sum(one.created_at is not None for answer in answers for one in answer.values()) == 200
    assert len(await rows(database_tenant)) == 200


async def test_a_commit_notifies_the_worker_processes(database_tenant: DatabaseTenant) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await database_tenant.database.dedicated()
    try:
        await listener.add_listener("tocsin_dispatch", lambda *arguments: heard.put_nowait(str(arguments[3])))
        await database_tenant.accept(database_tenant.new("unknown"))
        await database_tenant.accept(database_tenant.new(id=new_id()))
        async with asyncio.timeout(60):
            assert await heard.get() == "queue"
        assert heard.empty()
    finally:
        await listener.close()
