"""Deliveries of a step are written once, and only while the notification is open."""

from dataclasses import replace

import pytest

from domain.channels import Channel
from domain.names import delivery_id
from domain.reasons import Reason
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
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
