"""Accepting: one statement, one row per key, and nothing of what was refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from models.columns import new_id
from storage.acceptance import accept, held_keys
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres
DAY = 86_400.0


async def rows(desk: Desk, table: str = "notification") -> list[dict[str, Any]]:
    return await desk.query(f"SELECT * FROM {table} WHERE tenant = :tenant ORDER BY 1", tenant=desk.tenant)


async def person(desk: Desk, recipient_id: str) -> dict[str, Any] | None:
    found = await desk.query(
        "SELECT * FROM recipient WHERE tenant = :tenant AND recipient_id = :id", tenant=desk.tenant, id=recipient_id
    )
    return found[0] if found else None


async def held(desk: Desk, *keys: str, window: float = DAY) -> dict[str, dict[str, Any]]:
    async with desk.database.transaction() as session:
        return await held_keys(session, desk.tenant, list(keys), window)


async def test_a_send_is_one_pending_row_that_is_due_and_one_line_in_its_timeline(desk: Desk) -> None:
    item = desk.new(tags=("spring",), priority=2, channels=["email"], event_payload={"n": 1})
    accepted = (await desk.accept(item))[item.id]
    [row] = await rows(desk)
    assert (row["id"], row["status"], row["priority"], row["generation"]) == (item.id, "PENDING", 2, 1)
    assert (row["tags"], row["channels"], row["event_payload"]) == (["spring"], ["email"], {"n": 1})
    assert accepted.created_at == row["created_at"]
    [entry] = await rows(desk, "queue_entry")
    assert (entry["notification_id"], entry["generation"], entry["priority"]) == (item.id, 1, 2)
    assert (entry["state"], entry["next_at"], entry["started_at"]) == ("due", row["created_at"], None)
    assert [(e["kind"], e["status"]) for e in await rows(desk, "event")] == [("accepted", "PENDING")]


async def test_it_expires_counted_from_send_at_else_from_now(desk: Desk) -> None:
    later = datetime(2030, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    now, then, never = desk.new(expires_in=hour), desk.new(expires_in=hour, send_at=later), desk.new(send_at=later)
    accepted = await desk.accept(now, then, never)
    created = accepted[now.id].created_at
    assert created is not None
    assert accepted[now.id].expires_at == created + hour
    assert accepted[then.id].expires_at == later + hour
    assert accepted[never.id].expires_at is None


async def test_an_expiry_beyond_the_calendar_is_its_last_day(desk: Desk) -> None:
    item = desk.new(send_at=datetime(9999, 12, 31, 23, tzinfo=UTC), expires_in=timedelta(days=36_500))
    assert (await desk.accept(item))[item.id].expires_at == datetime(9999, 12, 31, tzinfo=UTC)


async def test_an_unknown_recipient_leaves_nothing(desk: Desk) -> None:
    item = desk.new("nobody", idempotency_key="k", idempotency_hash="h")
    accepted = (await desk.accept(item))[item.id]
    assert (accepted.known_recipient, accepted.created_at) == (False, None)
    assert await rows(desk) == await rows(desk, "event") == []
    assert await person(desk, "nobody") is None
    assert await held(desk, "k") == {}


async def test_a_recipient_of_another_tenant_is_unknown(desk: Desk, database: Database) -> None:
    other = await open_desk(database)
    async with database.transaction() as session:
        item = desk.new("only-here", profile={"contact": {}})
        await accept(session, desk.tenant, [item])
        foreign = other.new("only-here")
        accepted = await accept(session, other.tenant, [foreign])
    assert not accepted[foreign.id].known_recipient


async def test_of_a_batch_only_the_unknown_recipients_are_left_out(desk: Desk) -> None:
    known, unknown = desk.new(), desk.new("nobody")
    accepted = await desk.accept(known, unknown)
    assert {item.id: accepted[item.id].created_at is not None for item in (known, unknown)} == {
        known.id: True,
        unknown.id: False,
    }
    assert [row["id"] for row in await rows(desk)] == [known.id]


async def test_a_person_given_inline_is_made_together_with_preferences(desk: Desk) -> None:
    profile = {"contact": {"email": "bob@example.com"}, "locale": "de", "attributes": {"vip": True}}
    await desk.accept(desk.new("bob", profile=profile))
    made = await person(desk, "bob")
    assert made is not None
    assert (made["contact"], made["locale"], made["attributes"]) == ({"email": "bob@example.com"}, "de", {"vip": True})
    assert await desk.query("SELECT 1 AS one FROM user_preference WHERE user_id = 'bob' AND tenant = :t", t=desk.tenant)


async def test_a_profile_given_inline_is_laid_over_the_known_one(desk: Desk) -> None:
    first = {"contact": {"email": "old@example.com", "phone": "+44"}, "locale": "de", "attributes": {"a": 1, "b": 1}}
    await desk.accept(desk.new("bob", profile=first))
    await desk.query("UPDATE user_preference SET global_channel_opt_in = '{\"sms\": false}' WHERE user_id = 'bob'")
    await desk.accept(desk.new("bob", profile={"contact": {"email": "new@example.com"}, "attributes": {"b": 2}}))
    known = await person(desk, "bob")
    assert known is not None
    assert known["contact"] == {"email": "new@example.com", "phone": "+44"}
    assert (known["locale"], known["attributes"]) == ("de", {"a": 1, "b": 2})
    said = "SELECT global_channel_opt_in AS said FROM user_preference WHERE user_id = 'bob' AND tenant = :t"
    assert [row["said"] for row in await desk.query(said, t=desk.tenant)] == [{"sms": False}]


async def test_one_person_twice_in_a_batch_is_one_person_and_the_last_profile_counts(desk: Desk) -> None:
    items = [desk.new("bob", profile={"contact": {"email": f"{n}@example.com"}}) for n in range(3)]
    accepted = await desk.accept(*items)
    assert all(one.created_at for one in accepted.values())
    assert (await person(desk, "bob") or {})["contact"] == {"email": "2@example.com"}


async def test_the_same_key_twice_is_one_notification(desk: Desk) -> None:
    first, twin = (desk.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    await desk.accept(first)
    accepted = (await desk.accept(twin))[twin.id]
    assert (accepted.known_recipient, accepted.created_at) == (True, None)
    assert [row["id"] for row in await rows(desk)] == [first.id]
    assert (await held(desk, "k"))["k"]["id"] == first.id


async def test_the_same_key_twice_in_one_batch_is_one_notification(desk: Desk) -> None:
    await desk.accept(*(desk.new(idempotency_key="k", idempotency_hash="h") for _ in range(2)))
    assert len(await rows(desk)) == 1


async def test_a_twin_waits_for_the_first_and_then_leaves_nothing(desk: Desk) -> None:
    first, twin = (desk.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    async with desk.database.transaction() as session:
        await accept(session, desk.tenant, [first])
        waiting = asyncio.create_task(desk.accept(twin))
        await until_blocked(desk.database, waiting)
    assert (await waiting)[twin.id].created_at is None
    assert [row["id"] for row in await rows(desk)] == [first.id]


async def test_a_twin_whose_first_was_rolled_back_is_accepted(desk: Desk) -> None:
    first, twin = (desk.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    async with desk.database.transaction() as session:
        await accept(session, desk.tenant, [first])
        waiting = asyncio.create_task(desk.accept(twin))
        await until_blocked(desk.database, waiting)
        await session.rollback()
    assert (await waiting)[twin.id].created_at is not None


async def test_two_tenants_may_use_the_same_key(desk: Desk, database: Database) -> None:
    other = await open_desk(database)
    for one in (desk, other):
        item = one.new(idempotency_key="k", idempotency_hash="h")
        assert (await one.accept(item))[item.id].created_at is not None
        assert (await held(one, "k"))["k"]["id"] == item.id


async def test_sends_without_a_key_are_never_the_same(desk: Desk) -> None:
    await desk.accept(desk.new(), desk.new())
    assert len(await rows(desk)) == 2


async def test_a_key_is_free_again_after_its_window_and_not_before(desk: Desk) -> None:
    first, again = (desk.new(idempotency_key="k", idempotency_hash="h") for _ in range(2))
    await desk.accept(first)
    await desk.query("UPDATE notification SET created_at = now() - interval '25 hours' WHERE id = :id", id=first.id)
    assert "k" in await held(desk, "k", window=26 * 3_600)
    assert await held(desk, "k") == {}
    assert (await desk.accept(again))[again.id].created_at is not None
    [old, new] = await rows(desk)
    assert (old["idempotency_key"], old["idempotency_held"], new["idempotency_held"]) == ("k", False, True)
    assert (await held(desk, "k"))["k"]["id"] == again.id


async def test_a_thousand_are_one_statement(desk: Desk) -> None:
    statements: list[str] = []

    def note(*args: Any) -> None:
        statements.append(args[2])

    engine = desk.database.engine.sync_engine
    items = [desk.new(f"p{n}", profile={"contact": {}}, idempotency_key=f"k{n}") for n in range(1_000)]
    event.listen(engine, "before_cursor_execute", note)
    try:
        accepted = await desk.accept(*items)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1
    assert len(accepted) == 1_000
    assert all(one.created_at for one in accepted.values())
    assert len(await rows(desk)) == len(await rows(desk, "event")) == 1_000


async def test_two_batches_with_the_same_keys_in_opposite_order_do_not_lock_each_other(desk: Desk) -> None:
    keys = [f"k{n:03}" for n in range(200)]
    orders = [keys, keys[::-1]] * 3
    batches = [[desk.new(idempotency_key=k, idempotency_hash="h") for k in order] for order in orders]
    answers = await asyncio.gather(*(desk.accept(*batch) for batch in batches))
    assert sum(one.created_at is not None for answer in answers for one in answer.values()) == 200
    assert len(await rows(desk)) == 200


async def test_worker_processes_are_told_that_the_queue_has_something(desk: Desk) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await desk.database.dedicated()
    try:
        await listener.add_listener("tocsin_dispatch", lambda *told: heard.put_nowait(str(told[3])))
        await desk.accept(desk.new("nobody"))
        await desk.accept(desk.new(id=new_id()))
        async with asyncio.timeout(60):
            assert await heard.get() == "queue"
        assert heard.empty()
    finally:
        await listener.close()
