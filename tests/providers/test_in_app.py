"""The inbox as a provider: a row, written once however often it is sent."""

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.channels import Channel
from providers.in_app import InApp
from providers.outcomes import Accepted
from storage import erasures
from storage.database import Database
from storage.in_app import InboxRows
from tests.providers.harness import message_to
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres


@pytest.fixture
def in_app(database: Database) -> InApp:
    return InApp(InboxRows(database))


async def test_a_message_is_a_row_in_the_persons_inbox(desk: Desk, in_app: InApp) -> None:
    message = await message_to(desk, Channel.IN_APP, {})
    assert await in_app.send(message) == Accepted(message_id=str(message.delivery_id))
    [row] = await desk.query("SELECT * FROM inbox_message WHERE tenant = :tenant", tenant=desk.tenant)
    assert (row["id"], row["recipient_id"], row["notification_id"]) == (
        message.delivery_id,
        desk.recipient_id,
        message.notification_id,
    )
    assert row["content"] == json.loads(json.dumps(message.content))
    assert (row["seen_at"], row["read_at"], row["archived_at"]) == (None, None, None)


async def test_two_sends_of_one_delivery_write_it_once_and_the_first_stays(desk: Desk, in_app: InApp) -> None:
    message = await message_to(desk, Channel.IN_APP, {})
    first = await in_app.send(message)
    await desk.query("UPDATE inbox_message SET read_at = now() WHERE id = :id", id=message.delivery_id)
    again = await in_app.send(replace(message, attempt_id=uuid4(), content={"subject": "other"}))
    assert first == again
    [row] = await desk.query("SELECT * FROM inbox_message WHERE tenant = :tenant", tenant=desk.tenant)
    assert row["content"] == message.content
    assert row["read_at"] is not None


async def test_two_deliveries_are_two_rows(desk: Desk, in_app: InApp) -> None:
    for _ in range(2):
        await in_app.send(await message_to(desk, Channel.IN_APP, {}))
    assert len(await desk.query("SELECT id FROM inbox_message WHERE tenant = :tenant", tenant=desk.tenant)) == 2


async def test_for_a_person_who_was_erased_meanwhile_no_row_is_written(desk: Desk, in_app: InApp) -> None:
    message = await message_to(desk, Channel.IN_APP, {})
    async with desk.database.transaction() as session:
        await erasures.erase(session, desk.tenant, desk.recipient_id)
    await in_app.send(message)
    assert await desk.query("SELECT id FROM inbox_message WHERE tenant = :tenant", tenant=desk.tenant) == []
