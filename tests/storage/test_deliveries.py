"""Deliveries of a step are written once, and only while the notification is open."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cancellation import cancel_notification
from domain.channels import Channel
from domain.ledger import finish_notification
from domain.names import delivery_id
from domain.reasons import Reason
from domain.records import Ledger
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from storage.ledgers import amend, save
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def sent(database: Database) -> DatabaseSend:
    """Accepted, and nothing written of it yet."""
    database_tenant: DatabaseTenant = await open_database_tenant(database)
    item = database_tenant.new()
    await database_tenant.accept(item)
    return DatabaseSend(database_tenant=database_tenant, id=item.id, channels=(Channel.EMAIL, Channel.SMS))


def drafts(sent: DatabaseSend) -> list[NewDelivery]:
    def ident(channel: Channel) -> NewDelivery:
        skipped = Reason("no_address") if channel is Channel.SMS else None
        return NewDelivery(
            id=delivery_id(sent.id, 1, 1, channel), step=1, channel=channel, rule="on", content={}, skipped=skipped
        )

    return [ident(channel) for channel in sent.channels]


async def insert(sent: DatabaseSend, generation: int = 1) -> bool:
    async with sent.database_tenant.database.transaction() as session:
        return await insert_deliveries(session, sent.id, sent.database_tenant.tenant, generation, drafts(sent))


async def test_rendered_deliveries_wait_and_skipped_ones_have_a_reason(sent: DatabaseSend) -> None:
    assert await insert(sent)
    shown = {d["channel"]: (d["status"], d["failure_reason"], d["generation"]) for d in await sent.rows("delivery")}
    assert shown == {"email": ("PENDING", None, 1), "sms": ("SKIPPED", "no_address", 1)}
    events = {e["kind"]: (e["channel"], e["reason"], e["delivery_status"]) for e in await sent.rows("event")}
    assert events == {
        "accepted": (None, None, None),
        "rendered": ("email", None, "PENDING"),
        "channel_skipped": ("sms", "no_address", "SKIPPED"),
    }


async def test_a_failed_rendering_is_not_reported_as_rendered(sent: DatabaseSend) -> None:
    failed = replace(drafts(sent)[0], content=None)
    async with sent.database_tenant.database.transaction() as session:
        assert await insert_deliveries(session, sent.id, sent.database_tenant.tenant, 1, [failed])
    assert [delivery["status"] for delivery in await sent.rows("delivery")] == ["PENDING"]
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted"]


async def test_written_twice_they_are_there_once(sent: DatabaseSend) -> None:
    assert await insert(sent)
    assert await insert(sent)
    assert len(await sent.rows("delivery")) == 2
    assert len(await sent.rows("event")) == 3


async def test_only_the_first_deliveries_leave_the_revision_as_it_is(sent: DatabaseSend) -> None:
    """A caller that read another revision is rejected. Revision 0 is saved only under the lock."""
    await insert(sent)
    assert (await sent.row())["revision"] == 0
    await sent.database_tenant.query("UPDATE notification SET revision = 1 WHERE id = :id", id=sent.id)
    await insert(sent)
    assert (await sent.row())["revision"] == 2


@pytest.mark.parametrize("over", ["finished_at", "cancel_requested_at"])
async def test_a_notification_that_is_over_takes_none(sent: DatabaseSend, over: str) -> None:
    await sent.database_tenant.query(f"UPDATE notification SET {over} = now() WHERE id = :id", id=sent.id)
    assert not await insert(sent)
    assert await sent.rows("delivery") == []
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted"]


async def test_another_generation_takes_none(sent: DatabaseSend) -> None:
    assert not await insert(sent, generation=2)
    assert await sent.rows("delivery") == []


NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def accepted(database_tenant: DatabaseTenant) -> DatabaseSend:
    """Without deliveries yet."""
    item = database_tenant.new()
    await database_tenant.accept(item)
    return DatabaseSend(database_tenant=database_tenant, id=item.id, channels=(Channel.EMAIL,))


async def insert_in(session: AsyncSession, sent: DatabaseSend, channel: Channel = Channel.EMAIL) -> bool:
    new = NewDelivery(
        id=delivery_id(sent.id, 1, 1, channel), step=1, channel=channel, rule=None, content={"subject": "Hi"}
    )
    return await insert_deliveries(session, sent.id, sent.database_tenant.tenant, 1, [new])


async def inserted(sent: DatabaseSend) -> bool:
    async with sent.database_tenant.database.transaction() as session:
        return await insert_in(session, sent)


async def canceled(sent: DatabaseSend, seen: Ledger | None = None) -> Ledger:
    async with sent.database_tenant.database.transaction() as session:
        return await amend(session, sent.ref, lambda ledger: cancel_notification(ledger, NOW), seen)


async def statuses(sent: DatabaseSend) -> tuple[str, list[str]]:
    return (await sent.row())["status"], [row["status"] for row in await sent.rows("delivery")]


async def test_a_cancel_waits_for_the_first_deliveries_and_closes_them(accepted: DatabaseSend) -> None:
    async with accepted.database_tenant.database.transaction() as session:
        assert await insert_in(session, accepted)
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
        assert await insert_in(session, sent, Channel.SMS)
        claiming = asyncio.create_task(sent.claim())
        await until_blocked(database_tenant.database, claiming)
    claim = await claiming
    assert claim is not None
    async with database_tenant.database.transaction() as session:
        after = await amend(session, sent.ref, lambda ledger: finish_notification(ledger, NOW), claim.ledger)
    assert {delivery.channel for delivery in after.deliveries.values()} == {Channel.EMAIL, Channel.SMS}
