"""A former key is retired only if no row needs it, and a process without a key that is needed does not start."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from config.sources import InvalidSettings
from domain.channels import DeviceKind
from storage import chat_rooms, devices, encryption_keys
from storage.database import Database
from storage.devices import NewDevice
from storage.encryption import Encryption
from storage.encryption_keys import EncryptedTable, EncryptionKeysLocked, count_secrets_by_key, retire_keys, verify_keys
from tests.storage.encrypted_rows import AFTER, BOTH, CURRENT, FORMER, LOOKUP, ROOM, fill, opened, own, rotate
from tests.storage.locks import until_blocked

__all__ = ["own"]

pytestmark = pytest.mark.postgres


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
