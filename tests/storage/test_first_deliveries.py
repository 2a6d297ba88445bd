"""The first deliveries leave the revision at 0. Concurrent writers of the ledger see them nevertheless."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cancellation import cancel
from domain.channels import Channel
from domain.ledger import finish
from domain.names import delivery_id
from domain.records import Ledger
from storage.deliveries import NewDelivery, insert_deliveries
from storage.ledgers import amend, save
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, Sent

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def accepted(desk: Desk) -> Sent:
    """Without deliveries yet."""
    item = desk.new()
    await desk.accept(item)
    return Sent(desk=desk, id=item.id, channels=(Channel.EMAIL,))


async def insert(session: AsyncSession, sent: Sent, channel: Channel = Channel.EMAIL) -> bool:
    new = NewDelivery(
        id=delivery_id(sent.id, 1, 1, channel), step=1, channel=channel, rule=None, content={"subject": "Hi"}
    )
    return await insert_deliveries(session, sent.id, sent.desk.tenant, 1, [new])


async def inserted(sent: Sent) -> bool:
    async with sent.desk.database.transaction() as session:
        return await insert(session, sent)


async def canceled(sent: Sent, seen: Ledger | None = None) -> Ledger:
    async with sent.desk.database.transaction() as session:
        return await amend(session, sent.key, lambda ledger: cancel(ledger, NOW), seen)


async def statuses(sent: Sent) -> tuple[str, list[str]]:
    return (await sent.row())["status"], [row["status"] for row in await sent.rows("delivery")]


async def test_a_cancel_waits_for_the_first_deliveries_and_closes_them(accepted: Sent) -> None:
    async with accepted.desk.database.transaction() as session:
        assert await insert(session, accepted)
        canceling = asyncio.create_task(canceled(accepted))
        await until_blocked(accepted.desk.database, canceling)
    await canceling
    assert await statuses(accepted) == ("CANCELED", ["CANCELED"])


async def test_the_first_deliveries_wait_for_a_cancel_and_are_refused(accepted: Sent) -> None:
    async with accepted.desk.database.transaction() as session:
        await amend(session, accepted.key, lambda ledger: cancel(ledger, NOW))
        inserting = asyncio.create_task(inserted(accepted))
        await until_blocked(accepted.desk.database, inserting)
    assert not await inserting
    assert await statuses(accepted) == ("CANCELED", [])


async def test_a_ledger_read_before_the_first_deliveries_is_not_saved(accepted: Sent) -> None:
    stale = await accepted.ledger()
    await inserted(accepted)
    async with accepted.desk.database.transaction() as session:
        assert not await save(session, stale, finish(stale, NOW))
    await canceled(accepted, stale)
    assert await statuses(accepted) == ("CANCELED", ["CANCELED"])


async def test_the_outcome_of_a_call_counts_deliveries_that_came_during_its_claim(desk: Desk) -> None:
    """The claim waits for their lock, and shows the rows as they were before."""
    sent = await desk.send()
    async with desk.database.transaction() as session:
        assert await insert(session, sent, Channel.SMS)
        claiming = asyncio.create_task(sent.claim())
        await until_blocked(desk.database, claiming)
    claim = await claiming
    assert claim is not None
    async with desk.database.transaction() as session:
        after = await amend(session, sent.key, lambda ledger: finish(ledger, NOW), claim.ledger)
    assert {delivery.channel for delivery in after.deliveries.values()} == {Channel.EMAIL, Channel.SMS}
