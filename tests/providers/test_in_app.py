"""Test the inbox as a provider: one row, however often it is sent."""

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.channels import Channel
from providers.in_app import InApp
from providers.outcomes import ProviderAcceptance
from storage import erasures
from storage.database import Database
from storage.inbox import InboxStore
from tests.providers.harness import message_to
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres


@pytest.fixture
def in_app(database: Database) -> InApp:
    return InApp(InboxStore(database))


async def test_a_message_is_a_row_in_the_recipients_inbox(database_tenant: DatabaseTenant, in_app: InApp) -> None:
    message = await message_to(database_tenant, Channel.IN_APP, {})
    assert await in_app.send(message) == ProviderAcceptance(message_id=str(message.delivery_id))
    [row] = await database_tenant.query(
        "SELECT * FROM inbox_message WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert (row["id"], row["recipient_id"], row["notification_id"]) == (
        message.delivery_id,
        database_tenant.recipient_id,
        message.notification_id,
    )
    assert row["content"] == json.loads(json.dumps(message.content))
    assert (row["seen_at"], row["read_at"], row["archived_at"]) == (None, None, None)


async def test_two_sends_of_one_delivery_keep_the_first_row(database_tenant: DatabaseTenant, in_app: InApp) -> None:
    message = await message_to(database_tenant, Channel.IN_APP, {})
    first = await in_app.send(message)
    await database_tenant.query("UPDATE inbox_message SET read_at = now() WHERE id = :id", id=message.delivery_id)
    again = await in_app.send(replace(message, attempt_id=uuid4(), content={"subject": "other"}))
    assert first == again
    [row] = await database_tenant.query(
        "SELECT * FROM inbox_message WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert row["content"] == message.content
    assert row["read_at"] is not None


async def test_two_deliveries_are_two_rows(database_tenant: DatabaseTenant, in_app: InApp) -> None:
    for _ in range(2):
        await in_app.send(await message_to(database_tenant, Channel.IN_APP, {}))
    assert (
        len(
            await database_tenant.query(
                "SELECT id FROM inbox_message WHERE tenant = :tenant", tenant=database_tenant.tenant
            )
        )
        == 2
    )


async def test_no_row_is_written_for_an_erased_recipient(database_tenant: DatabaseTenant, in_app: InApp) -> None:
    message = await message_to(database_tenant, Channel.IN_APP, {})
    async with database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    await in_app.send(message)
    assert (
        await database_tenant.query(
            "SELECT id FROM inbox_message WHERE tenant = :tenant", tenant=database_tenant.tenant
        )
        == []
    )
