"""An erasure leaves nothing of the person, stops what is on its way, and touches nobody else."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Text, cast, func, select, text
from sqlmodel import SQLModel

from domain.channels import DeviceKind
from storage import devices, erasures, recipients
from storage.database import Database
from storage.devices import NewDevice
from tests.storage.histories import CANARY, Known, new_tenant, person_with_history
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres

PERSONAL = {
    "attempt",
    "delivery",
    "device",
    "inbox_message",
    "notification",
    "receipt",
    "recipient",
    "sandbox_message",
}
KINDS = {
    "profiles": 1,
    "preferences": 1,
    "devices": 1,
    "notifications": 1,
    "deliveries": 1,
    "attempts": 1,
    "receipts": 2,
    "inbox_messages": 1,
    "sandbox_messages": 1,
}


async def tables_that_quote(database: Database, known: Known) -> set[str]:
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


async def erase(database: Database, known: Known) -> erasures.Erasure:
    async with database.transaction() as session:
        erasure = await erasures.erase(session, known.tenant, known.recipient_id)
    assert erasure is not None
    return erasure


async def notification(database: Database, known: Known) -> Any:
    statement = text("SELECT * FROM notification WHERE id = :id")
    async with database.transaction() as session:
        return (await session.execute(statement, {"id": known.notification_id})).mappings().one()


async def test_nothing_of_the_person_stays_in_any_table(database: Database) -> None:
    known = await person_with_history(database, await new_tenant(database))
    assert await tables_that_quote(database, known) == PERSONAL
    erasure = await erase(database, known)
    assert await tables_that_quote(database, known) == set()
    assert erasure.counts == {**KINDS, "canceled": 0}
    assert erasure.finished_at is not None
    assert erasure.finished_at >= erasure.requested_at


async def test_what_was_sent_stays_counted(database: Database) -> None:
    known = await person_with_history(database, await new_tenant(database))
    before = await notification(database, known)
    await erase(database, known)
    after = await notification(database, known)
    assert {**after, "event_payload": None} == {**before, "event_payload": None}


async def test_an_open_notification_is_cancelled_and_whoever_has_read_it_is_fenced_off(database: Database) -> None:
    known = await person_with_history(database, await new_tenant(database), finished=False)
    before = await notification(database, known)
    erasure = await erase(database, known)
    after = await notification(database, known)
    assert erasure.counts["canceled"] == 1
    assert after["cancel_requested_at"] is not None
    assert after["cancel_signaled_at"] is None
    assert after["revision"] == before["revision"] + 1


async def test_others_keep_everything(database: Database) -> None:
    tenant, other_tenant = await new_tenant(database), await new_tenant(database)
    erased = await person_with_history(database, tenant, "ada")
    others = [
        await person_with_history(database, tenant, "bob"),
        await person_with_history(database, other_tenant, "ada"),
    ]
    await erase(database, erased)
    for other in others:
        assert await tables_that_quote(database, other) == PERSONAL
        async with database.transaction() as session:
            assert await recipients.find(session, other.tenant, other.recipient_id) is not None
            assert len(await devices.list_of(session, other.tenant, other.recipient_id)) == 1


async def test_the_account_belongs_to_its_tenant(database: Database) -> None:
    known = await person_with_history(database, await new_tenant(database))
    erasure = await erase(database, known)
    async with database.transaction() as session:
        assert await erasures.find(session, known.tenant, erasure.id) == erasure
        assert await erasures.find(session, await new_tenant(database), erasure.id) is None


async def test_nobody_is_erased_twice(database: Database) -> None:
    known = await person_with_history(database, await new_tenant(database))
    await erase(database, known)
    async with database.transaction() as session:
        assert await erasures.erase(session, known.tenant, known.recipient_id) is None


async def test_a_device_that_arrives_during_an_erasure_finds_nobody(database: Database) -> None:
    known = await person_with_history(database, await new_tenant(database))
    device = NewDevice(device="late", kind=DeviceKind.FCM, address={"token": "late"})

    async def register() -> object:
        async with database.transaction() as session:
            return await devices.save(session, known.tenant, known.recipient_id, device)

    async with database.transaction() as session:
        await erasures.erase(session, known.tenant, known.recipient_id)
        waiting = asyncio.create_task(register())
        await until_blocked(database, waiting)
    assert await waiting is None
