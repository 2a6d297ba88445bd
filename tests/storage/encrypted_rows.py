"""Secrets of each kind as rows, and the same database as processes with other keys have it; for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_bytes
from uuid import UUID

import pytest

from domain.channels import Channel, DeviceKind
from domain.outgoing_messages import OutgoingMessage
from storage import chat_rooms, devices, event_endpoints, recipients, sandbox
from storage.database import Database
from storage.devices import NewDevice
from storage.encryption import Encryption
from storage.encryption_keys import TABLES, count_secrets_by_key, reencrypt_table
from storage.sandbox import PostgresSandboxStore
from tests.outgoing_messages import outgoing_message
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseTenant, open_database_tenant

TOKEN, ENDPOINT, AUTH = "token-of-a-phone", "https://push.example.com/canary", "key-of-a-browser"
CHAT = "https://hooks.slack.com/services/T1/B1/secret-chat"
ROOM = "https://hooks.slack.com/services/T1/B1/secret-room"
HOOK, URL = "https://chat.example.com/secret-hook", "https://shop.example.com/secret-path"
SUBSCRIPTION = {"subscription": {"endpoint": ENDPOINT, "keys": {"p256dh": "p", "auth": AUTH}}}
FORMER, CURRENT, LOOKUP = token_bytes(32), token_bytes(32), token_bytes(32)
BEFORE = Encryption({"k1": FORMER}, LOOKUP)
BOTH = Encryption({"k2": CURRENT, "k1": FORMER}, LOOKUP)
AFTER = Encryption({"k2": CURRENT}, LOOKUP)


@pytest.fixture
async def own(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database, opened(database, BEFORE) as own:
        yield own


@asynccontextmanager
async def opened(database: Database, encryption: Encryption) -> AsyncIterator[Database]:
    """The same database as a process with these keys has it."""
    other = Database(database.url, encryption=encryption)
    try:
        yield other
    finally:
        await other.close()


async def fill(database: Database, recipient_id: str = "ada") -> tuple[DatabaseTenant, list[str]]:
    """Store one secret of each kind. Return those that Tocsin has made itself."""
    database_tenant = await open_database_tenant(database)
    async with database.transaction() as session:
        contact = {"webhook_url": HOOK, "chat_url": CHAT, "phone": "+1"}
        await recipients.replace_profile(session, database_tenant.tenant, recipient_id, {"contact": contact})
        for name, kind, address in (
            ("phone", DeviceKind.FCM, {"token": TOKEN}),
            ("browser", DeviceKind.WEB_PUSH, SUBSCRIPTION),
        ):
            await devices.save(
                session, database_tenant.tenant, recipient_id, NewDevice(device=name, kind=kind, address=address)
            )
        row, _ = await event_endpoints.put(session, database_tenant.tenant, "shop", URL, ["*"], enabled=True)
        first = event_endpoints.decrypt_secret(database.encryption, row)
        await event_endpoints.rotate_secret(session, database_tenant.tenant, "shop")
        await chat_rooms.save(session, database_tenant.tenant, {"ops": ROOM})
    await PostgresSandboxStore(database).accept(message(database_tenant, recipient_id), [], is_call=False)
    return database_tenant, [first, event_endpoints.decrypt_secret(database.encryption, row)]


def message(database_tenant: DatabaseTenant, recipient_id: str) -> OutgoingMessage:
    return outgoing_message(
        Channel.WEBHOOK,
        tenant=database_tenant.tenant,
        recipient_id=recipient_id,
        endpoint_id="webhook",
        address={"url": HOOK},
        content={},
    )


async def assert_readable(database: Database, tenant: UUID, secrets: list[str], recipient_id: str = "ada") -> None:
    async with database.transaction() as session:
        person = await recipients.find(session, tenant, recipient_id)
        assert person is not None
        assert (person.contact["webhook_url"], person.contact["chat_url"]) == (HOOK, CHAT)
        found = {device.device: device.address for device in await devices.list_devices(session, tenant, recipient_id)}
        assert found == {"phone": {"token": TOKEN}, "browser": SUBSCRIPTION}
        assert await chat_rooms.read_urls(session, tenant) == {"ops": ROOM}
        row = await event_endpoints.find(session, tenant, "shop")
        assert row is not None
        encryption, owner = database.encryption, event_endpoints.secret_owner_of(tenant, row.id)
        assert event_endpoints.decrypt_url(encryption, row) == URL
        assert [
            encryption.decrypt(row.previous_secret, owner, "secret"),
            event_endpoints.decrypt_secret(encryption, row),
        ] == secrets
        [entry] = await sandbox.list_page(session, tenant, limit=5)
        assert entry.address == {"url": HOOK}


async def counts(database: Database) -> dict[str, dict[str | None, int]]:
    return {table.name: dict(await count_secrets_by_key(database, table)) for table in TABLES}


async def rotate(database: Database) -> int:
    rows: list[int] = []
    for table in TABLES:
        await reencrypt_table(database, table, rows.append)
    return sum(rows)
