"""The first deliveries leave the revision at 0. Concurrent writers of the ledger see them nevertheless."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cancellation import cancel_notification
from domain.channels import Channel
from domain.ledger import finish_notification
from domain.names import delivery_id
from domain.records import Ledger
from storage.deliveries import NewDelivery, insert_deliveries
from storage.ledgers import amend, save
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def accepted(database_tenant: DatabaseTenant) -> DatabaseSend:
    """Without deliveries yet."""
    item = database_tenant.new()
    await database_tenant.accept(item)
    return DatabaseSend(database_tenant=database_tenant, id=item.id, channels=(Channel.EMAIL,))


async def insert(session: AsyncSession, sent: DatabaseSend, channel: Channel = Channel.EMAIL) -> bool:
    new = NewDelivery(
        id=delivery_id(sent.id, 1, 1, channel), step=1, channel=channel, rule=None, content={"subject": "Hi"}
    )
    return await insert_deliveries(session, sent.id, sent.database_tenant.tenant, 1, [new])


async def inserted(sent: DatabaseSend) -> bool:
    async with sent.database_tenant.database.transaction() as session:
        return await insert(session, sent)


async def canceled(sent: DatabaseSend, seen: Ledger | None = None) -> Ledger:
    async with sent.database_tenant.database.transaction() as session:
        return await amend(session, sent.ref, lambda ledger: cancel_notification(ledger, NOW), seen)


async def statuses(sent: DatabaseSend) -> tuple[str, list[str]]:
    return (await sent.row())["status"], [row["status"] for row in await sent.rows("delivery")]


async def test_a_cancel_waits_for_the_first_deliveries_and_closes_them(accepted: DatabaseSend) -> None:
    async with accepted.database_tenant.database.transaction() as session:
        assert await insert(session, accepted)
        canceling = asyncio.create_task(canceled(accepted))
        await until_blocked(accepted.database_tenant.database, canceling)
    await canceling
    assert await statuses(accepted) == ("CANCELED", ["CANCELED"])


async def test_the_first_deliveries_wait_for_a_cancel_and_are_refused(accepted: DatabaseSend) -> None:
    async with accepted.database_tenant.database.transaction() as session:
        await amend(session, accepted.ref, lambda ledger: cancel_notification(ledger, NOW))
        inserting = asyncio.create_task(inserted(accepted))
        await until_blocked(accepted.database_tenant.database, inserting)
    assert not await inserting
    assert await statuses(accepted) == ("CANCELED", [])


async def test_a_ledger_read_before_the_first_deliveries_is_not_saved(accepted: DatabaseSend) -> None:
    stale = await accepted.ledger()
    await inserted(accepted)
    async with accepted.database_tenant.database.transaction() as session:
        assert not await save(session, stale, finish_notification(stale, NOW))
    await canceled(accepted, stale)
    assert await statuses(accepted) == ("CANCELED", ["CANCELED"])


async def test_the_outcome_of_a_call_counts_deliveries_that_came_during_its_claim(
    database_tenant: DatabaseTenant,
) -> None:
    """The claim waits for their lock, and shows the rows as they were before."""
    sent = await database_tenant.send()
    async with database_tenant.database.transaction() as session:
        assert await insert(session, sent, Channel.SMS)
        claiming = asyncio.create_task(sent.claim())
        await until_blocked(database_tenant.database, claiming)
    claim = await claiming
    assert claim is not None
    async with database_tenant.database.transaction() as session:
        after = await amend(session, sent.ref, lambda ledger: finish_notification(ledger, NOW), claim.ledger)
    assert {delivery.channel for delivery in after.deliveries.values()} == {Channel.EMAIL, Channel.SMS}
