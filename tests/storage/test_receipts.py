"""Receipts are stored before they are matched, applied once, and kept when they match nothing."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatch.receipt_applier import ReceiptApplier
from domain.evidence import AttemptState
from storage import erasures, receipts
from storage.database import Database
from storage.receipts import StoredReceipt
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def sent(database_tenant: DatabaseTenant) -> DatabaseSend:
    """A call is under way."""
    sent = await database_tenant.send()
    await sent.claim()
    return sent


def receipt(kind: str = "delivered", **more: Any) -> StoredReceipt:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "provider": "sandbox",
        "attempt_id": None,
        "provider_message_id": None,
        "reason": None,
        "occurred_at": AT,
        "raw": {"event": kind},
        **more,
    }
    return StoredReceipt(kind=kind, **fields)


async def store(database: Database, *some: StoredReceipt) -> None:
    async with database.transaction() as session:
        await receipts.store(session, list(some))


async def test_a_token_is_good_for_one_receipt(database: Database, database_tenant: DatabaseTenant) -> None:
    first, other, without = receipt(token=uuid4()), receipt("complained"), receipt()
    forged = replace(other, token=first.token)
    for each in (first, first, forged, without):
        await store(database, each)
    assert {row["id"] for row in await stored(database_tenant, first.id, forged.id, without.id)} == {
        first.id,
        without.id,
    }


async def apply_waiting(database: Database) -> None:
    await ReceiptApplier(database).apply_waiting()


async def stored(database_tenant: DatabaseTenant, *ids: UUID) -> list[dict[str, Any]]:
    return await database_tenant.query("SELECT * FROM receipt WHERE id = ANY(:ids) ORDER BY id", ids=list(ids))


async def sole(database_tenant: DatabaseTenant, of: StoredReceipt) -> dict[str, Any]:
    [row] = await stored(database_tenant, of.id)
    return row


async def test_a_receipt_stored_twice_is_one_row(database_tenant: DatabaseTenant) -> None:
    stored_receipt = receipt(provider_message_id="m", reason="why")
    await store(database_tenant.database, stored_receipt)
    await store(database_tenant.database, stored_receipt, stored_receipt)
    row = await sole(database_tenant, stored_receipt)
    assert (row["kind"], row["provider_message_id"], row["reason"], row["occurred_at"]) == (
        "delivered",
        "m",
        "why",
        AT,
    )
    assert (row["raw"], row["applied_at"]) == ({"event": "delivered"}, None)


async def test_a_receipt_with_our_reference_moves_the_notification(sent: DatabaseSend) -> None:
    stored_receipt = receipt(attempt_id=sent.attempt())
    await store(sent.database_tenant.database, stored_receipt)
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "DELIVERED"
    assert [d["delivered_at"] for d in await sent.rows("delivery")] == [AT]
    row = await sole(sent.database_tenant, stored_receipt)
    assert row["applied_at"] is not None
    assert row["next_attempt_at"] is None


async def test_a_delay_is_an_entry_of_the_timeline_and_changes_no_status(sent: DatabaseSend) -> None:
    await sent.answer(AttemptState.ACCEPTED, "m-delayed")
    delayed = receipt("delayed", attempt_id=sent.attempt(), reason="mailbox_unavailable")
    for _ in range(2):
        await store(sent.database_tenant.database, delayed)
        await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "SENT"
    [event] = [event for event in await sent.rows("event") if event["kind"] == "delayed"]
    assert (event["channel"], event["reason"], event["status"]) == ("email", "mailbox_unavailable", None)
    assert event["detail"]["provider"] == "sandbox"


async def test_by_the_vendors_message_id_it_moves_the_notification(sent: DatabaseSend) -> None:
    await sent.answer(AttemptState.ACCEPTED, "m-by-id")
    await store(sent.database_tenant.database, receipt(provider_message_id="m-by-id"))
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "DELIVERED"


async def test_another_vendors_message_with_the_same_id_is_another_message(sent: DatabaseSend) -> None:
    await sent.answer(AttemptState.ACCEPTED, "m-shared")
    by_id = receipt(provider_message_id="m-shared", provider="another")
    by_reference = receipt(attempt_id=sent.attempt(), provider="another")
    await store(sent.database_tenant.database, by_id, by_reference)
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "SENT"
    assert [row["applied_at"] for row in await stored(sent.database_tenant, by_id.id, by_reference.id)] == [None, None]


async def test_a_receipt_of_an_erased_recipient_is_applied_without_its_content(sent: DatabaseSend) -> None:
    """Weeks later: a callback often quotes the address that it is about."""
    async with sent.database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, sent.database_tenant.tenant, sent.database_tenant.recipient_id)
    late = receipt(attempt_id=sent.attempt(), raw={"to": "ada@example.com"})
    await store(sent.database_tenant.database, late)
    await apply_waiting(sent.database_tenant.database)
    row = await sole(sent.database_tenant, late)
    assert (row["applied_at"] is not None, row["raw"]) == (True, {})
    assert (await sent.row())["status"] == "DELIVERED"


async def test_applied_once_it_is_not_applied_again(sent: DatabaseSend) -> None:
    stored_receipt = receipt(attempt_id=sent.attempt())
    await store(sent.database_tenant.database, stored_receipt)
    await apply_waiting(sent.database_tenant.database)
    before = await sent.row()
    await store(sent.database_tenant.database, stored_receipt)
    await apply_waiting(sent.database_tenant.database)
    assert await sent.row() == before
    assert await sent.statuses() == ["PENDING", "DELIVERED"]


async def test_a_repeated_event_with_another_id_changes_nothing(sent: DatabaseSend) -> None:
    first = receipt(attempt_id=sent.attempt())
    await store(sent.database_tenant.database, first)
    await apply_waiting(sent.database_tenant.database)
    again = replace(first, id=uuid4())
    await store(sent.database_tenant.database, again)
    await apply_waiting(sent.database_tenant.database)
    assert (await sole(sent.database_tenant, again))["applied_at"] is not None
    assert [event["kind"] for event in await sent.rows("event")].count("delivered") == 1


async def test_an_early_one_waits_until_the_message_id_is_known(sent: DatabaseSend) -> None:
    early = receipt(provider_message_id="m-early")
    await store(sent.database_tenant.database, early, receipt(provider_message_id="m-other"))
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "PENDING"
    async with sent.database_tenant.database.transaction() as session:
        assert [one.id for one in await receipts.find_early(session, "sandbox", "m-early")] == [early.id]
        assert await receipts.find_early(session, "another", "m-early") == []
    await sent.answer(AttemptState.ACCEPTED, "m-early")
    await sent.database_tenant.query("UPDATE receipt SET next_attempt_at = now() WHERE id = :id", id=early.id)
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "DELIVERED"
    async with sent.database_tenant.database.transaction() as session:
        assert await receipts.find_early(session, "sandbox", "m-early") == []


async def test_an_unmatched_receipt_is_kept_and_retried_with_backoff(
    database_tenant: DatabaseTenant,
) -> None:
    unmatched = receipt(provider_message_id=f"m-{uuid4()}")
    await store(database_tenant.database, unmatched)
    waits = []
    for attempt_count in range(1, 4):
        await apply_waiting(database_tenant.database)
        row = await sole(database_tenant, unmatched)
        assert (row["applied_at"], row["attempt_count"]) == (None, attempt_count)
        [due] = await database_tenant.query("SELECT extract(epoch FROM :at - now()) AS wait", at=row["next_attempt_at"])
        waits.append(float(due["wait"]))
        await database_tenant.query("UPDATE receipt SET next_attempt_at = now() WHERE id = :id", id=unmatched.id)
    assert [round(wait) for wait in waits] == [1, 2, 4]


async def test_an_unmatched_receipt_is_not_retried_after_three_days(database_tenant: DatabaseTenant) -> None:
    unmatched = receipt(provider_message_id=f"m-{uuid4()}")
    await store(database_tenant.database, unmatched)
    await database_tenant.query(
        "UPDATE receipt SET received_at = now() - interval '73 hours' WHERE id = :id", id=unmatched.id
    )
    await apply_waiting(database_tenant.database)
    row = await sole(database_tenant, unmatched)
    assert (row["applied_at"], row["next_attempt_at"]) == (None, None)


async def test_an_unmatched_receipt_does_not_delay_others(sent: DatabaseSend) -> None:
    unmatched = receipt(provider_message_id=f"m-{uuid4()}")
    await store(sent.database_tenant.database, unmatched)
    await store(sent.database_tenant.database, receipt(attempt_id=sent.attempt()))
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "DELIVERED"


async def test_one_of_a_generation_before_a_redrive_still_counts(database_tenant: DatabaseTenant) -> None:
    first = await (await database_tenant.send()).failed()
    again = await first.redriven()
    old = receipt(attempt_id=first.attempt())
    await store(database_tenant.database, old)
    await apply_waiting(database_tenant.database)
    assert (await sole(database_tenant, old))["applied_at"] is not None
    assert await again.statuses() == ["PENDING", "FAILED", "PENDING", "DELIVERED"]
    shown = {row["generation"]: row["status"] for row in await again.rows("delivery")}
    assert shown == {1: "DELIVERED", 2: "PENDING"}


@pytest.mark.parametrize("kind", ["unknown", "unsubscribed"])
async def test_a_word_that_proves_nothing_about_arrival_is_applied_and_moves_nothing(
    sent: DatabaseSend, kind: str
) -> None:
    stored_receipt = receipt(kind, attempt_id=sent.attempt())
    await store(sent.database_tenant.database, stored_receipt)
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "PENDING"
    assert (await sole(sent.database_tenant, stored_receipt))["applied_at"] is not None


async def test_a_complaint_proves_that_it_arrived(sent: DatabaseSend) -> None:
    await store(sent.database_tenant.database, receipt("complained", attempt_id=sent.attempt()))
    await apply_waiting(sent.database_tenant.database)
    assert (await sent.row())["status"] == "DELIVERED"


async def test_two_appliers_at_once_apply_each_receipt_once(sent: DatabaseSend) -> None:
    receipts = [receipt(kind, attempt_id=sent.attempt()) for kind in ("delivered", "opened", "clicked")]
    await store(sent.database_tenant.database, *receipts)
    await asyncio.gather(*(apply_waiting(sent.database_tenant.database) for _ in range(3)))
    rows = await stored(sent.database_tenant, *(one.id for one in receipts))
    assert [row["attempt_count"] for row in rows] == [1, 1, 1]
    statuses = await sent.statuses()
    assert statuses[-1] == "OPENED"
    assert len(statuses) == len(set(statuses))
