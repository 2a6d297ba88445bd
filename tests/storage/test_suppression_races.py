"""Write the suppression list concurrently: the lasting entry stays, and no deadlock occurs.

A deadlock fails a test with the error of Postgres.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.channels import Channel
from domain.suppressions import SuppressionReason
from storage import erasures, receipts, recipients, suppressions
from storage.database import Database
from storage.suppressions import NewSuppression
from tests.storage.locks import until_blocked
from tests.storage.sends import CONTACT, DatabaseSend, DatabaseTenant, open_database_tenant
from tests.storage.suppression_lists import add, listed
from tests.storage.test_receipts import receipt

pytestmark = pytest.mark.postgres
R = SuppressionReason
PHONE = CONTACT["phone"]
SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))


@pytest.fixture
async def sent(database_tenant: DatabaseTenant) -> DatabaseSend:
    """A text message is under way."""
    sent = await database_tenant.send(Channel.SMS)
    await sent.claim(channel=Channel.SMS)
    return sent


def new(
    database_tenant: DatabaseTenant, reason: SuppressionReason, expires_at: datetime | None = None
) -> NewSuppression:
    return NewSuppression(
        channel=Channel.SMS,
        address_hash=database_tenant.database.encryption.address_hash(database_tenant.tenant, "phone", PHONE),
        address={"phone": PHONE},
        reason=reason,
        source="sandbox",
        expires_at=expires_at,
    )


async def bounce(sent: DatabaseSend, kind: str = "bounced", reason: str | None = "unknown_number") -> None:
    stored_receipt = receipt(kind, attempt_id=sent.attempt(channel=Channel.SMS), reason=reason)
    async with sent.database_tenant.database.transaction() as session:
        await receipts.store(session, [stored_receipt])
    async with sent.database_tenant.database.transaction() as session:
        await receipts.apply_receipt(session, stored_receipt, sent.attempt(channel=Channel.SMS), sent.ref)


async def start(database: Database) -> None:
    async with database.transaction() as session:
        await suppressions.opt_in(session, "sandbox", PHONE)


async def stop(database: Database) -> None:
    async with database.transaction() as session:
        await suppressions.opt_out(session, "sandbox", PHONE)


@pytest.mark.parametrize("first", ["stronger", "weaker"])
@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ((R.COMPLAINED, None), (R.BOUNCED, None)),
        ((R.BOUNCED, None), (R.MANUAL, LATER)),
        ((R.BOUNCED, LATER), (R.BOUNCED, SOON)),
    ],
    ids=["graver", "for good", "longer"],
)
async def test_of_two_findings_at_the_same_moment_the_stronger_stays(
    database_tenant: DatabaseTenant, stronger: tuple[Any, ...], weaker: tuple[Any, ...], first: str
) -> None:
    """The second one waits for the first one's row, which its own look at the list has not seen."""
    pair = [new(database_tenant, *stronger), new(database_tenant, *weaker)]
    one, other = pair if first == "stronger" else reversed(pair)
    async with database_tenant.database.transaction() as session:
        _, changed = await suppressions.add(session, database_tenant.tenant, one)
        assert changed
        waiting = asyncio.create_task(add(database_tenant, other))
        await until_blocked(database_tenant.database, waiting)
    found, changed = await waiting
    assert changed is (first == "weaker")
    assert (found.reason, found.expires_at) == stronger
    assert await listed(database_tenant) == [found]


async def test_a_suppression_whose_concurrent_duplicate_rolled_back_is_kept(database_tenant: DatabaseTenant) -> None:
    async with database_tenant.database.transaction() as session:
        await suppressions.add(session, database_tenant.tenant, new(database_tenant, R.MANUAL))
        waiting = asyncio.create_task(add(database_tenant, new(database_tenant, R.BOUNCED)))
        await until_blocked(database_tenant.database, waiting)
        await session.rollback()
    assert (await waiting)[1]
    assert [one.reason for one in await listed(database_tenant)] == ["bounced"]


async def test_a_bounce_that_meets_a_start_is_on_the_list_afterwards(sent: DatabaseSend) -> None:
    """START lifts the STOP; that the number does not exist is not theirs to say."""
    database = sent.database_tenant.database
    await stop(database)
    async with database.transaction() as session:
        await suppressions.opt_in(session, "sandbox", PHONE)
        waiting = asyncio.create_task(bounce(sent))
        await until_blocked(database, waiting)
    await waiting
    assert [one.reason for one in await listed(sent.database_tenant)] == ["bounced"]


async def test_a_start_that_meets_a_complaint_lifts_nothing(sent: DatabaseSend) -> None:
    database = sent.database_tenant.database
    await stop(database)
    stored_receipt = receipt("complained", attempt_id=sent.attempt(channel=Channel.SMS))
    async with database.transaction() as session:
        await receipts.apply_receipt(session, stored_receipt, sent.attempt(channel=Channel.SMS), sent.ref)
        waiting = asyncio.create_task(start(database))
        await until_blocked(database, waiting)
    await waiting
    assert [one.reason for one in await listed(sent.database_tenant)] == ["complained"]


async def test_a_wait_for_the_list_locks_no_notification(sent: DatabaseSend) -> None:
    """The lock order is the list, then the notification."""
    database = sent.database_tenant.database
    await stop(database)
    async with database.transaction() as session:
        await suppressions.opt_in(session, "sandbox", PHONE)
        waiting = asyncio.create_task(bounce(sent))
        await until_blocked(database, waiting)
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": sent.id})
    await waiting
    assert [one.reason for one in await listed(sent.database_tenant)] == ["bounced"]


async def test_a_wait_for_the_recipient_locks_neither_list_nor_notification(sent: DatabaseSend) -> None:
    """An erasure has locked the person first."""
    database, tenant = sent.database_tenant.database, sent.database_tenant.tenant
    await stop(database)
    async with database.transaction() as session:
        assert await recipients.find(session, tenant, sent.database_tenant.recipient_id, lock=True)
        tasks = [asyncio.create_task(bounce(sent)), asyncio.create_task(stop(database))]
        for waiting in tasks:
            await until_blocked(database, waiting)
        assert await erasures.erase_at_once(session, tenant, sent.database_tenant.recipient_id)
    await asyncio.gather(*tasks)
    assert [one.address for one in await listed(sent.database_tenant)] == [None]


@pytest.mark.parametrize("turned", [False, True])
async def test_start_and_stop_of_one_number_do_not_deadlock(database: Database, turned: bool) -> None:
    """STOP goes through them in the order of their ids, wherever their rows lie."""
    database_tenants = sorted(
        [await open_database_tenant(database) for _ in range(4)], key=lambda database_tenant: database_tenant.tenant
    )
    for database_tenant in reversed(database_tenants) if turned else database_tenants:
        await add(database_tenant, new(database_tenant, R.OPTED_OUT))
        await database_tenant.query("UPDATE tenant SET name = name WHERE id = :id", id=database_tenant.tenant)
    async with database.transaction() as session:
        for number, database_tenant in enumerate(database_tenants):
            await suppressions.add(session, database_tenant.tenant, new(database_tenant, R.OPTED_OUT))
            if number == 0:
                waiting = asyncio.create_task(start(database))
                await until_blocked(database, waiting)
    await waiting
    assert [await listed(database_tenant) for database_tenant in database_tenants] == [[]] * 4
