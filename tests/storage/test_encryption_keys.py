"""No dump shows a secret, and keys are rotated while rows change; what is not known is refused and not lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from secrets import token_bytes
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from config.sources import InvalidSettings
from domain.channels import Channel, DeviceKind
from domain.outgoing_messages import OutgoingMessage
from storage import chat_rooms, devices, encryption_keys, event_endpoints, recipients, sandbox
from storage.database import Database
from storage.devices import NewDevice
from storage.encryption import DecryptionError, Encryption
from storage.encryption_keys import (
    TABLES,
    EncryptedTable,
    EncryptionKeysLocked,
    count_secrets_by_key,
    reencrypt_table,
    retire_keys,
    verify_keys,
)
from storage.sandbox import PostgresSandboxStore
from tests.outgoing_messages import outgoing_message
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.plain_text import tables_containing
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

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


def by(key: str | None) -> dict[str, dict[str | None, int]]:
    single = {"sandbox_message": {key: 1}, "chat_room": {key: 1}}
    return {"device": {key: 2}, "recipient": {key: 2}, "event_endpoint": {key: 3}, **single}


async def test_a_dump_shows_no_token_secret_or_url(own: Database) -> None:
    database_tenant, secrets = await fill(own)
    assert await tables_containing(own, "+1")  # what is searched for would be found
    assert await tables_containing(own, TOKEN, ENDPOINT, AUTH, HOOK, CHAT, ROOM, URL, "whsec_", *secrets) == {}
    await assert_readable(own, database_tenant.tenant, secrets)


async def test_a_rotation_renews_all_secrets_and_a_second_one_changes_nothing(own: Database) -> None:
    database_tenant, secrets = await fill(own)
    assert await counts(own) == by("k1")
    async with opened(own, BOTH) as both:
        assert await rotate(both) == 6
        assert await rotate(both) == 0
    async with opened(own, AFTER) as after:
        assert await counts(after) == by("k2")
        await assert_readable(after, database_tenant.tenant, secrets)
        async with after.transaction() as session:
            token = NewDevice(device="tablet", kind=DeviceKind.FCM, address={"token": TOKEN})
            await devices.save(session, database_tenant.tenant, "ada", token)
            names = [device.device for device in await devices.list_devices(session, database_tenant.tenant, "ada")]
        assert names == ["browser", "tablet"], "the token is still found and has moved"


async def test_secrets_are_counted_page_by_page(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption_keys, "COUNT_PAGE_SIZE", 2)
    for person in "abcd":
        await fill(own, person)
    names: list[str] = []

    def record_page(*given: Any) -> None:
        if "jsonb_each" in given[2]:
            names.extend(table.name for table in TABLES if table.name in given[3])

    event.listen(own.engine.sync_engine, "before_cursor_execute", record_page)
    assert await counts(own) == {
        "device": {"k1": 8},
        "recipient": {"k1": 8},
        "event_endpoint": {"k1": 12},
        "sandbox_message": {"k1": 4},
        "chat_room": {"k1": 4},
    }
    assert [names.count(table.name) for table in TABLES] == [5, 5, 3, 3, 3]


async def test_keys_rotate_under_load_with_nothing_lost(own: Database) -> None:
    """Devices are registered and read by processes of both settings, while the rotation goes over the same rows."""
    database_tenant = await open_database_tenant(own)
    people = [f"person-{n}" for n in range(40)]
    async with own.transaction() as session:
        for person in people:
            await recipients.replace_profile(
                session, database_tenant.tenant, person, {"contact": {"webhook_url": HOOK}}
            )
            first = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": f"{person} 0"})
            await devices.save(session, database_tenant.tenant, person, first)
    last: dict[str, str] = {}

    async def register(database: Database, persons: list[str]) -> None:
        for turn in range(1, 6):
            for person in persons:
                token = f"{person} {turn}"
                async with database.transaction() as session:
                    found = await devices.list_devices(session, database_tenant.tenant, person)
                    assert len(found) == 1
                    new = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": token})
                    await devices.save(session, database_tenant.tenant, person, new)
                last[person] = token

    async with opened(own, Encryption({"k1": FORMER, "k2": CURRENT}, LOOKUP)) as former, opened(own, BOTH) as both:
        await asyncio.gather(register(former, people[::2]), register(both, people[1::2]), rotate(both), rotate(both))
        await rotate(both)
        assert await retire_keys(both) == set()
    async with opened(own, AFTER) as after, after.transaction() as session:
        for person in people:
            [device] = await devices.list_devices(session, database_tenant.tenant, person)
            assert device.address == {"token": last[person]}
            known = await recipients.find(session, database_tenant.tenant, person)
            assert known is not None
            assert known.contact == {"webhook_url": HOOK}


async def test_an_unknown_key_is_an_error_that_loses_nothing(own: Database) -> None:
    database_tenant, secrets = await fill(own)
    sent = await database_tenant.send(Channel.WEBHOOK)
    async with opened(own, AFTER) as after:
        with pytest.raises(DecryptionError, match="needs the key 'k1'"):
            await rotate(after)
        claim = await replace(sent, database_tenant=replace(database_tenant, database=after)).claim(
            channel=Channel.WEBHOOK
        )
    assert claim is not None
    assert (claim.address.is_decrypted, claim.address.contact) == (False, {})
    await assert_readable(own, database_tenant.tenant, secrets)


async def test_a_ciphertext_of_another_recipient_is_refused(own: Database) -> None:
    database_tenant, _ = await fill(own)
    async with own.transaction() as session:
        await recipients.replace_profile(
            session, database_tenant.tenant, "eve", {"contact": {"webhook_url": "https://eve.example.com"}}
        )
        await session.execute(
            text("UPDATE recipient r SET contact = a.contact FROM recipient a WHERE a.recipient_id = 'ada'")
        )
    async with own.transaction() as session:
        eve = await recipients.find(session, database_tenant.tenant, "eve")
    assert eve is not None
    assert "webhook_url" not in eve.contact


async def test_a_chat_room_of_another_name_or_tenant_is_not_decrypted(own: Database) -> None:
    database_tenant, _ = await fill(own)
    other = await open_database_tenant(own)
    copies = {"copy": database_tenant.tenant, "ops": other.tenant}
    for name, tenant in copies.items():
        await database_tenant.query(
            "INSERT INTO chat_room SELECT :to, :name, chat_url, updated_at FROM chat_room WHERE tenant = :tenant"
            " AND name = 'ops'",
            **{"to": tenant, "name": name, "tenant": database_tenant.tenant},
        )
    async with own.transaction() as session:
        assert await chat_rooms.read_urls(session, database_tenant.tenant) == {"copy": None, "ops": ROOM}
        assert await chat_rooms.read_urls(session, other.tenant) == {"ops": None}


async def test_a_process_with_other_keys_does_not_start(own: Database) -> None:
    await verify_keys(own)
    wrong = [
        (Encryption({"k1": FORMER}, CURRENT), "TOCSIN_LOOKUP_KEY is not the key of this database"),
        (Encryption({"k2": CURRENT}, LOOKUP), "lacks the key 'k1'"),
        (Encryption({"k1": CURRENT}, LOOKUP), "has another key 'k1'"),
    ]
    for encryption, said in wrong:
        async with opened(own, encryption) as other:
            with pytest.raises(InvalidSettings, match=said):
                await verify_keys(other)
    async with opened(own, BOTH) as both:
        await verify_keys(both)
        assert await retire_keys(both) == set()
    async with opened(own, AFTER) as after:
        await verify_keys(after)


async def register_phone(session: AsyncSession, tenant: UUID) -> None:
    await devices.save(session, tenant, "ada", NewDevice(device="new", kind=DeviceKind.FCM, address={"token": "new"}))


async def save_room(session: AsyncSession, tenant: UUID) -> None:
    await chat_rooms.save(session, tenant, {"new": ROOM})


async def assert_retired(database: Database, keys_in_use: set[str]) -> None:
    """A process without the former key starts exactly if no row needs that key."""
    async with opened(database, AFTER) as after:
        if keys_in_use:
            with pytest.raises(InvalidSettings, match="lacks the key 'k1'"):
                await verify_keys(after)
        else:
            await verify_keys(after)


@pytest.fixture
async def rotated(own: Database) -> AsyncIterator[tuple[Database, UUID]]:
    """All rows have the current key, and the former one is not retired."""
    await verify_keys(own)
    database_tenant, _ = await fill(own)
    async with opened(own, BOTH) as both:
        await verify_keys(both)
        await rotate(both)
        yield both, database_tenant.tenant


@pytest.mark.parametrize(("table_name", "write"), [("device", register_phone), ("chat_room", save_room)])
async def test_a_key_is_kept_for_a_row_written_during_the_count(
    own: Database,
    rotated: tuple[Database, UUID],
    monkeypatch: pytest.MonkeyPatch,
    table_name: str,
    write: Callable[[AsyncSession, UUID], Awaitable[None]],
) -> None:
    both, tenant = rotated

    async def count_then_write(database: Database, table: EncryptedTable) -> Counter[str | None]:
        counts = await count_secrets_by_key(database, table)
        if table.name == table_name:
            async with own.transaction() as session:
                await write(session, tenant)
        return counts

    monkeypatch.setattr(encryption_keys, "count_secrets_by_key", count_then_write)
    assert await retire_keys(both) == {"k1"}
    await assert_retired(own, {"k1"})
    monkeypatch.undo()
    await rotate(both)
    assert await retire_keys(both) == set()
    await assert_retired(own, set())


async def test_a_key_is_kept_for_a_row_committed_after_the_count(
    own: Database, rotated: tuple[Database, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    both, tenant = rotated
    monkeypatch.setattr(encryption_keys, "TABLE_LOCK_TIMEOUT", 30.0)
    async with own.transaction() as session:
        await register_phone(session, tenant)
        retiring = asyncio.create_task(retire_keys(both))
        await until_blocked(own, retiring)
    assert await retiring == {"k1"}
    await assert_retired(own, {"k1"})


async def test_a_table_that_stays_locked_keeps_the_keys(own: Database, rotated: tuple[Database, UUID]) -> None:
    both, tenant = rotated
    async with own.transaction() as session:
        await register_phone(session, tenant)
        with pytest.raises(EncryptionKeysLocked, match="run it again"):
            await retire_keys(both)
        await session.rollback()
    await assert_retired(own, {"k1"})
    assert await retire_keys(both) == set()


async def test_a_lock_that_another_session_keeps_is_an_error_with_its_remedy(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryption_keys, "LOCK_TIMEOUT", 0.2)
    other = await own.dedicated()
    try:
        await other.execute("SELECT pg_advisory_lock($1)", encryption_keys.LOCK_ID)
        with pytest.raises(EncryptionKeysLocked) as caught:
            await verify_keys(own)
        remedy = str(caught.value).partition("end its session: ")[2]
        async with own.transaction() as session:
            assert (await session.execute(text(remedy))).scalars().all() == [True]
        await verify_keys(own)
    finally:
        other.terminate()
