"""No dump shows a secret, and keys are rotated while rows change; what is not known is refused and not lost."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, text

from domain.channels import Channel, DeviceKind
from storage import chat_rooms, devices, encryption_keys, recipients
from storage.database import Database
from storage.devices import NewDevice
from storage.encryption import DecryptionError, Encryption
from storage.encryption_keys import TABLES, retire_keys
from tests.storage.encrypted_rows import (
    AFTER,
    AUTH,
    BOTH,
    CHAT,
    CURRENT,
    ENDPOINT,
    FORMER,
    HOOK,
    LOOKUP,
    ROOM,
    TOKEN,
    URL,
    assert_readable,
    counts,
    fill,
    opened,
    own,
    rotate,
)
from tests.storage.plain_text import tables_containing
from tests.storage.sends import open_database_tenant

__all__ = ["own"]

pytestmark = pytest.mark.postgres


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
