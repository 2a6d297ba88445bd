"""Erase recipients: delete their data, stop their open notifications and change no other recipient."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Text, cast, func, select, text
from sqlmodel import SQLModel

from domain.channels import Channel, DeviceKind
from domain.suppressions import SuppressionReason
from storage import devices, erasures, recipients, suppressions
from storage.database import Database
from storage.devices import NewDevice
from storage.suppressions import NewSuppression, SuppressionEntry
from tests.storage.locks import until_blocked
from tests.storage.recipient_histories import CANARY, StoredHistory, erase, notification, recipient_with_history
from tests.storage.sends import new_tenant

pytestmark = pytest.mark.postgres

PERSONAL = {
    "attempt",
    "delivery",
    "inbound_message",
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
    "inbound_messages": 1,
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
