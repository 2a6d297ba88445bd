"""Test calls to the chat room of a tenant: the URL is read for each call, and a changed one repeats no message."""

import pytest

from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import NoCallResult
from domain.reasons import reason_line
from domain.statuses import DeliveryStatus
from storage import chat_rooms
from storage.database import Database
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres

OWN, FIRST, SECOND = (f"https://hooks.slack.com/services/T1/B1/{word}" for word in ("own", "first", "second"))
CHAT = Channel.CHAT


async def put_room(sent: DatabaseSend, url: str) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await chat_rooms.save(session, sent.database_tenant.tenant, {"ops": url})


@pytest.fixture
async def sent(database: Database) -> DatabaseSend:
    """Return a send to the room `ops` for a recipient with an own chat."""
    database_tenant = await open_database_tenant(database, {"chat_url": OWN, "email": "a@b.c"}, chat={"room": "ops"})
    sent = await database_tenant.send(CHAT, Channel.EMAIL)
    await put_room(sent, FIRST)
    return sent


async def test_a_call_uses_the_present_url_of_the_room(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await put_room(sent, SECOND)
    for channel in (CHAT, Channel.EMAIL):
        outcome = await activity_worker.deliver(sent.call(channel=channel, finishes_notification=False))
        assert outcome.result is CallResult.ACCEPTED
    assert [call.address for call in activity_worker.sandbox.calls] == [{"url": SECOND}, {"email": "a@b.c"}]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_message_that_was_accepted_is_not_sent_to_the_changed_room(
    activity_worker: ActivityWorker, sent: DatabaseSend, number: int
) -> None:
    assert (await activity_worker.deliver(sent.call(channel=CHAT))).result is CallResult.ACCEPTED
    await put_room(sent, SECOND)
    assert (await activity_worker.deliver(sent.call(number, channel=CHAT))).result is CallResult.ACCEPTED
    assert [call.address for call in activity_worker.sandbox.calls] == [{"url": FIRST}]


async def test_a_missing_room_is_the_reason_for_no_call(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await chat_rooms.remove(session, sent.database_tenant.tenant, ["ops"])
    outcome = await activity_worker.deliver(sent.call(channel=CHAT))
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, DeliveryStatus.FAILED)
    assert reason_line(outcome.full_reason) == "no_chat_room (ops)"
    assert (activity_worker.sandbox.calls, await sent.rows("attempt")) == ([], [])


async def test_a_room_of_another_tenant_gets_nothing(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    other = await open_database_tenant(sent.database_tenant.database, {"chat_url": OWN}, chat={"room": "ops"})
    outcome = await activity_worker.deliver((await other.send(CHAT)).call(channel=CHAT))
    assert outcome.reason == "no_chat_room"
    assert activity_worker.sandbox.calls == []


async def test_a_room_whose_key_is_missing_fails_the_delivery(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await sent.database_tenant.query(
        "UPDATE chat_room SET chat_url = regexp_replace(chat_url, '^enc:[^:]+', 'enc:lost') WHERE tenant = :tenant",
        tenant=sent.database_tenant.tenant,
    )
    outcome = await activity_worker.deliver(sent.call(channel=CHAT))
    assert (outcome.stopped_status, outcome.reason) == (DeliveryStatus.FAILED, "not_decrypted")
    assert activity_worker.sandbox.calls == []
