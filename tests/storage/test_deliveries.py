"""Deliveries of a step are written once, and only while the notification is open."""

from dataclasses import replace

import pytest

from domain.channels import Channel
from domain.names import delivery_id
from domain.reasons import Reason
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def sent(database: Database) -> Sent:
    """Accepted, and nothing written of it yet."""
    desk: Desk = await open_desk(database)
    item = desk.new()
    await desk.accept(item)
    return Sent(desk=desk, id=item.id, channels=(Channel.EMAIL, Channel.SMS))


def drafts(sent: Sent) -> list[NewDelivery]:
    def ident(channel: Channel) -> NewDelivery:
        skipped = Reason("no_address") if channel is Channel.SMS else None
        return NewDelivery(
            id=delivery_id(sent.id, 1, 1, channel), step=1, channel=channel, rule="on", content={}, skipped=skipped
        )

    return [ident(channel) for channel in sent.channels]


async def insert(sent: Sent, generation: int = 1) -> bool:
    async with sent.desk.database.transaction() as session:
        return await insert_deliveries(session, sent.id, sent.desk.tenant, generation, drafts(sent))


async def test_rendered_ones_wait_and_skipped_ones_say_why(sent: Sent) -> None:
    assert await insert(sent)
    shown = {d["channel"]: (d["status"], d["failure_reason"], d["generation"]) for d in await sent.rows("delivery")}
    assert shown == {"email": ("PENDING", None, 1), "sms": ("SKIPPED", "no_address", 1)}
    told = {e["kind"]: (e["channel"], e["reason"], e["delivery_status"]) for e in await sent.rows("event")}
    assert told == {
        "accepted": (None, None, None),
        "rendered": ("email", None, "PENDING"),
        "channel_skipped": ("sms", "no_address", "SKIPPED"),
    }


async def test_what_failed_to_render_is_not_told_as_rendered(sent: Sent) -> None:
    failed = replace(drafts(sent)[0], content=None)
    async with sent.desk.database.transaction() as session:
        assert await insert_deliveries(session, sent.id, sent.desk.tenant, 1, [failed])
    assert [delivery["status"] for delivery in await sent.rows("delivery")] == ["PENDING"]
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted"]


async def test_written_twice_they_are_there_once(sent: Sent) -> None:
    assert await insert(sent)
    assert await insert(sent)
    assert len(await sent.rows("delivery")) == 2
    assert len(await sent.rows("event")) == 3


async def test_only_the_first_deliveries_leave_the_revision_as_it_is(sent: Sent) -> None:
    """Whoever has read a later revision is fenced off; revision 0 is saved under the lock only."""
    await insert(sent)
    assert (await sent.row())["revision"] == 0
    await sent.desk.query("UPDATE notification SET revision = 1 WHERE id = :id", id=sent.id)
    await insert(sent)
    assert (await sent.row())["revision"] == 2


@pytest.mark.parametrize("over", ["finished_at", "cancel_requested_at"])
async def test_a_notification_that_is_over_takes_none(sent: Sent, over: str) -> None:
    await sent.desk.query(f"UPDATE notification SET {over} = now() WHERE id = :id", id=sent.id)
    assert not await insert(sent)
    assert await sent.rows("delivery") == []
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted"]


async def test_another_generation_takes_none(sent: Sent) -> None:
    assert not await insert(sent, generation=2)
    assert await sent.rows("delivery") == []
