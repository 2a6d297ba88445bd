"""Receipts that wait together are applied together; none of them stops the others."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import TextClause, text
from structlog.testing import capture_logs

from dispatch.receipt_applier import BATCH_SIZE, ReceiptApplier
from domain.channels import Channel
from domain.evidence import AttemptState
from storage import receipts
from storage.database import Database
from storage.receipt_batches import apply_batch
from storage.receipts import StoredReceipt
from storage.statements import QuickSession, StatementResult
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
SEEN: ContextVar[list[str] | None] = ContextVar("SEEN", default=None)
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOCK = text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE")


@pytest.fixture(autouse=True)
async def no_receipts(database: Database) -> None:
    """Those of another test would be claimed too."""
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE receipt"))


def receipt(kind: str = "delivered", **more: Any) -> StoredReceipt:
    fields: dict[str, Any] = {"id": uuid4(), "provider": "sandbox", "occurred_at": AT, "raw": {"event": kind}}
    empty = dict.fromkeys(("attempt_id", "provider_message_id", "reason"))
    return StoredReceipt(kind=kind, **{**fields, **empty, **more})


async def claimed(database_tenant: DatabaseTenant, *channels: Channel) -> DatabaseSend:
    sent = await database_tenant.send(*channels)
    await sent.claim()
    return sent


async def store(database: Database, *some: StoredReceipt) -> None:
    async with database.transaction() as session:
        await receipts.store(session, list(some))


async def apply_waiting(database: Database) -> None:
    await ReceiptApplier(database).apply_waiting()


async def applied(database_tenant: DatabaseTenant, *some: StoredReceipt) -> list[bool]:
    rows = await database_tenant.query(
        "SELECT id, applied_at FROM receipt WHERE id = ANY(:ids)", ids=[one.id for one in some]
    )
    at = {row["id"]: row["applied_at"] for row in rows}
    return [at[one.id] is not None for one in some]


async def statuses(*sends: DatabaseSend) -> list[str]:
    return [(await sent.row())["status"] for sent in sends]


async def make_due(database_tenant: DatabaseTenant) -> None:
    """What is postponed or leased."""
    await database_tenant.query("UPDATE receipt SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")


@contextmanager
def statements() -> Iterator[list[str]]:
    """What the block and its tasks send to the database by the hot paths, without other tasks of this process."""
    execute = QuickSession.execute

    async def noted(
        session: QuickSession, statement: TextClause, params: Mapping[str, Any] | None = None
    ) -> StatementResult:
        if (seen := SEEN.get()) is not None:
            seen.append(statement.text)
        return await execute(session, statement, params)

    own: list[str] = []
    token = SEEN.set(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickSession, "execute", noted)
        yield own
    SEEN.reset(token)


async def test_a_batch_of_any_receipts_applies_each_that_matches(database_tenant: DatabaseTenant) -> None:
    foreign = await claimed(await open_database_tenant(database_tenant.database))
    first, second, bounced = [await claimed(database_tenant) for _ in range(3)]
    await second.answer(AttemptState.ACCEPTED, "m-second")
    one = receipt(attempt_id=first.attempt())
    some = [
        receipt(provider_message_id=f"m-{uuid4()}"),
        one,
        receipt(attempt_id=first.attempt()),
        receipt("opened", provider_message_id="m-second"),
        receipt(attempt_id=foreign.attempt()),
        receipt("bounced", attempt_id=bounced.attempt(), reason="invalid_address"),
        receipt(attempt_id=uuid4()),
    ]
    await store(database_tenant.database, *some, one)
    await apply_waiting(database_tenant.database)
    assert await applied(database_tenant, *some) == [False, True, True, True, True, True, False]
    assert await statuses(first, second, foreign) == ["DELIVERED", "OPENED", "DELIVERED"]
    assert [row["status"] for row in await bounced.rows("delivery")] == ["FAILED"]
    suppressed = await database_tenant.query(
        "SELECT source FROM suppression WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert suppressed == [{"source": "sandbox"}]
    assert [row["kind"] for row in await first.rows("event")].count("delivered") == 1
    assert {row["tenant"] for row in await foreign.rows("event")} == {foreign.database_tenant.tenant}


async def test_a_batch_of_any_size_takes_three_statements(database_tenant: DatabaseTenant) -> None:
    sends = [await claimed(database_tenant) for _ in range(12)]
    # Receipts of earlier tests that match nothing become due again at any time.
    await database_tenant.query("DELETE FROM receipt WHERE applied_at IS NULL")
    counts = []
    for some in (sends[:1], sends[1:]):
        await store(database_tenant.database, *(receipt(attempt_id=sent.attempt()) for sent in some))
        with statements() as seen:
            await apply_waiting(database_tenant.database)
        counts.append(len(seen))
    assert counts == [3, 3]
    assert set(await statuses(*sends)) == {"DELIVERED"}


async def test_more_receipts_than_a_batch_holds_are_applied_by_one_call(database_tenant: DatabaseTenant) -> None:
    last = await claimed(database_tenant)
    some = [receipt(provider_message_id=f"m-{uuid4()}") for _ in range(BATCH_SIZE)]
    await store(database_tenant.database, *some)
    await store(database_tenant.database, receipt(attempt_id=last.attempt()))
    await apply_waiting(database_tenant.database)
    assert await statuses(last) == ["DELIVERED"]


KINDS = ("delivered", "opened", "clicked")
SHOWN = "SELECT status, sent_at, delivered_at, opened_at, clicked_at FROM delivery WHERE notification_id = :id"


@pytest.mark.parametrize("together", [True, False], ids=["one_batch", "a_batch_each"])
async def test_receipts_of_one_notification_give_the_same_rows_in_any_order(
    database_tenant: DatabaseTenant, together: bool
) -> None:
    """A batch applies them in the order of their ids."""
    orders = list(permutations(range(3)))
    sends = [await claimed(database_tenant) for _ in orders]
    for place in range(3):
        for order, sent in zip(orders, sends, strict=True):
            at = AT + timedelta(minutes=order[place])
            ident = UUID(int=(uuid4().int >> 8) | place << 120)
            kind = KINDS[order[place]]
            await store(database_tenant.database, receipt(kind, id=ident, attempt_id=sent.attempt(), occurred_at=at))
        if not together:
            await apply_waiting(database_tenant.database)
    await apply_waiting(database_tenant.database)
    shown = [tuple(row.values()) for sent in sends for row in await database_tenant.query(SHOWN, id=sent.id)]
    assert len(shown) == len(orders)
    assert set(shown) == {("OPENED", None, AT, AT + timedelta(minutes=1), AT + timedelta(minutes=2))}
    assert set(await statuses(*sends)) == {"OPENED"}


async def test_two_appliers_at_once_share_the_receipts(database_tenant: DatabaseTenant) -> None:
    """The second one neither waits for the rows of the first one nor applies them again."""
    sends = [await claimed(database_tenant) for _ in range(4)]
    some = [receipt(attempt_id=sent.attempt()) for sent in sends]
    await store(database_tenant.database, *some)
    async with database_tenant.database.transaction() as one, database_tenant.database.transaction() as another:
        assert (await apply_batch(one, 2)).size == 2
        assert (await apply_batch(another, 100)).size == 2
    assert await applied(database_tenant, *some) == [True] * 4
    assert [await sent.statuses() for sent in sends] == [["PENDING", "DELIVERED"]] * 4


async def test_two_appliers_with_receipts_of_one_notification_apply_both(database_tenant: DatabaseTenant) -> None:
    sent = await claimed(database_tenant)
    some = [receipt(attempt_id=sent.attempt()), receipt("opened", attempt_id=sent.attempt())]
    await store(database_tenant.database, some[0])
    async with database_tenant.database.transaction() as one:
        assert (await apply_batch(one, 100)).to_apply_alone == []
        await store(database_tenant.database, some[1])
        waiting = asyncio.create_task(apply_waiting(database_tenant.database))
        await until_blocked(database_tenant.database, waiting)
    await waiting
    assert await applied(database_tenant, *some) == [True, True]
    assert await sent.statuses() == ["PENDING", "DELIVERED", "OPENED"]


async def test_a_locked_notification_does_not_stop_the_rest_of_its_batch(database_tenant: DatabaseTenant) -> None:
    locked, *others = [await claimed(database_tenant) for _ in range(3)]
    some = [receipt(attempt_id=sent.attempt()) for sent in (locked, *others)]
    await store(database_tenant.database, *some)
    async with database_tenant.database.transaction() as session:
        await session.execute(LOCK, {"id": locked.id})
        waiting = asyncio.create_task(apply_waiting(database_tenant.database))
        await until_blocked(database_tenant.database, waiting)
        assert await statuses(locked, *others) == ["PENDING", "DELIVERED", "DELIVERED"]
        assert await applied(database_tenant, *some) == [False, True, True]
    await waiting
    assert await statuses(locked) == ["DELIVERED"]
    assert await applied(database_tenant, *some) == [True] * 3


async def test_a_receipt_of_a_stopped_applier_is_applied_later(database_tenant: DatabaseTenant) -> None:
    locked = await claimed(database_tenant)
    late = receipt(attempt_id=locked.attempt())
    await store(database_tenant.database, late)
    async with database_tenant.database.transaction() as session:
        await session.execute(LOCK, {"id": locked.id})
        waiting = asyncio.create_task(apply_waiting(database_tenant.database))
        await until_blocked(database_tenant.database, waiting)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await applied(database_tenant, late) == [False]
    await make_due(database_tenant)
    await apply_waiting(database_tenant.database)
    assert await applied(database_tenant, late) == [True]
    assert await statuses(locked) == ["DELIVERED"]


async def test_a_receipt_that_fails_does_not_stop_the_others(database_tenant: DatabaseTenant) -> None:
    """A kind that this version does not know, as a newer version may have stored it. It fails the whole batch."""
    sends = [await claimed(database_tenant) for _ in range(10)]
    bad = receipt("kind of a newer version", attempt_id=(await claimed(database_tenant)).attempt())
    good = [receipt(attempt_id=sent.attempt()) for sent in sends]
    await store(database_tenant.database, bad, *good)
    with capture_logs() as logs:
        await apply_waiting(database_tenant.database)
    assert await applied(database_tenant, bad, *good) == [False, *[True] * 10]
    assert set(await statuses(*sends)) == {"DELIVERED"}
    assert [(line["event"], line["error"]) for line in logs] == [
        ("a batch of receipts was not applied", "UnknownValue"),
        ("a receipt was not applied", "UnknownValue"),
    ]
    [row] = await database_tenant.query(
        "SELECT attempt_count, next_attempt_at > received_at AS waits FROM receipt WHERE id = :id", id=bad.id
    )
    assert row == {"attempt_count": 1, "waits": True}
