"""Keys of the secrets in the database: confirm them at the start of a process, count secrets by key, and encrypt them
with the current key while sends continue."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import TextClause, text

from config.sources import InvalidSettings
from domain.json_types import Json
from storage import chat_rooms, devices, event_endpoints, recipients, sandbox
from storage.database import Database, to_json
from storage.encryption import SECRET_MEMBERS, Encryption, SecretOwner
from storage.statements import decoded, statement

LOOKUP_KEY_NAME = "lookup key"  # no key id: it contains a blank
LOCK_ID = 7_201_536
POLL_INTERVAL = 0.1  # seconds
END_LOCK_HOLDER = """SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
 WHERE datname = current_database() AND locktype = 'advisory' AND objid = 7201536"""
LOCK_TIMEOUT = 60.0  # seconds: far longer than a process compares or records its keys
SELECT_FINGERPRINTS = text("SELECT key_fingerprints FROM engine_state WHERE id = 1")
SAVE_FINGERPRINTS = text("""
INSERT INTO engine_state (id, key_fingerprints) VALUES (1, CAST(:known AS jsonb))
ON CONFLICT (id) DO UPDATE SET key_fingerprints = EXCLUDED.key_fingerprints
""")
SELECT_OLDEST_TRANSACTION = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text")
# A wait for the lock delays all later writes of these tables. It ends before Postgres looks for a deadlock (1 s), so
# that no other transaction is aborted.
TABLE_LOCK_TIMEOUT = 0.5  # seconds
LOCK_TABLES = text("LOCK TABLE device, recipient, event_endpoint, sandbox_message, chat_room IN SHARE MODE")
SELECT_CHANGED_KEYS = statement("encryption_keys/select_changed_keys")


class EncryptionKeysLocked(Exception):
    """Report that another session holds the lock of the keys or of a table with secrets. The message states the fix."""


async def verify_keys(database: Database) -> None:
    """Record the keys at the first start, and compare them at each later one. Raise InvalidSettings if they differ."""
    async with _exclusive_lock(database):
        known = await _read_fingerprints(database)
        if known:
            _check_fingerprints(known, database.encryption)
        await _record_fingerprints(database, known)


@asynccontextmanager
async def _exclusive_lock(database: Database) -> AsyncIterator[None]:
    """Hold a lock in a separate session. No transaction stays open, because a timeout would end it. Raise
    EncryptionKeysLocked if another session keeps the lock."""
    connection = await database.dedicated()
    clock = asyncio.get_running_loop().time
    deadline = clock() + LOCK_TIMEOUT
    try:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_ID):
            if clock() > deadline:
                raise EncryptionKeysLocked(
                    f"another process has held the lock of the encryption keys for {LOCK_TIMEOUT:g} s; "
                    f"end its session: {END_LOCK_HOLDER}"
                )
            await asyncio.sleep(POLL_INTERVAL)
        yield
    finally:
        connection.terminate()


async def _read_fingerprints(database: Database) -> dict[str, str]:
    async with database.transaction() as session:
        known: dict[str, str] | None = decoded((await session.execute(SELECT_FINGERPRINTS)).scalar_one_or_none())
    return known or {}


async def _record_fingerprints(database: Database, known: Mapping[str, str]) -> None:
    encryption = database.encryption
    own_fingerprints = {
        LOOKUP_KEY_NAME: encryption.lookup_fingerprint,
        encryption.key_id: encryption.fingerprints[encryption.key_id],
    }
    if not own_fingerprints.items() <= known.items():
        async with database.transaction() as session:
            await session.execute(SAVE_FINGERPRINTS, {"known": to_json({**known, **own_fingerprints})})


def _check_fingerprints(known: Mapping[str, str], encryption: Encryption) -> None:
    if known[LOOKUP_KEY_NAME] != encryption.lookup_fingerprint:
        raise InvalidSettings(
            "TOCSIN_LOOKUP_KEY is not the key of this database; suppressed addresses would not be found"
        )
    for id, fingerprint in known.items():
        if id == LOOKUP_KEY_NAME:
            continue
        if id not in encryption.fingerprints:
            raise InvalidSettings(
                f"TOCSIN_ENCRYPTION_KEYS lacks the key {id!r}, by which rows of this database are encrypted; "
                "add it, and run 'tocsin encryption rotate' before it is removed"
            )
        if encryption.fingerprints[id] != fingerprint:
            raise InvalidSettings(f"TOCSIN_ENCRYPTION_KEYS has another key {id!r} than this database; use a new id")


async def retire_keys(database: Database) -> set[str]:
    """Delete the fingerprints of former keys that encrypt no row. Return the ids of former keys that still do.

    The rows are those that `tocsin encryption status` counts. Other processes write during the count: when it ends, the
    tables are locked against writes, and the rows that have changed since its start are read again. Raise
    EncryptionKeysLocked if a transaction keeps a table locked.
    """
    async with database.transaction() as session:
        since = (await session.execute(SELECT_OLDEST_TRANSACTION)).scalar_one()
    counted = {id for table in TABLES for id in await count_secrets_by_key(database, table)}
    async with _exclusive_lock(database):
        known = await _read_fingerprints(database)
        try:
            async with database.quick_transaction(lock_timeout=TABLE_LOCK_TIMEOUT) as session:
                await session.execute(LOCK_TABLES)
                values = {"since": since, "secret_names": list(SECRET_MEMBERS)}
                keys_in_use = counted.union((await session.execute(SELECT_CHANGED_KEYS, values)).scalars())
                kept = keys_in_use | {LOOKUP_KEY_NAME, database.encryption.key_id}
                fingerprints = {id: value for id, value in known.items() if id in kept}
                await session.execute(SAVE_FINGERPRINTS, {"known": to_json(fingerprints)})
        except asyncpg.LockNotAvailableError:
            raise EncryptionKeysLocked(
                f"a transaction has held one of the tables with secrets for {TABLE_LOCK_TIMEOUT:g} s; run it again"
            ) from None
    return {id or "none" for id in keys_in_use - {database.encryption.key_id}}


@dataclass(frozen=True, kw_only=True)
class EncryptedTable:
    """A table with secrets. `owner` takes a row of SELECT_PAGE. `update` changes rows that are as they were read;
    `derived_columns` are computed from the secrets."""

    name: str
    update: TextClause
    owner: Callable[[Any], SecretOwner]
    derived_columns: Callable[[Encryption, UUID, Json], Json] = lambda encryption, tenant, plain: {}


def _device_hash(encryption: Encryption, tenant: UUID, plain: Json) -> Json:
    return {"address_hash": devices.address_hash_of(encryption, tenant, plain)}


TABLES = (
    EncryptedTable(
        name="device",
        update=statement("encryption_keys/update_device"),
        owner=lambda row: devices.secret_owner_of(row["tenant"], row["recipient_id"], row["device"]),
        derived_columns=_device_hash,
    ),
    EncryptedTable(
        name="recipient",
        update=statement("encryption_keys/update_recipient"),
        owner=lambda row: recipients.secret_owner_of(row["tenant"], row["recipient_id"]),
    ),
    EncryptedTable(
        name="event_endpoint",
        update=statement("encryption_keys/update_event_endpoint"),
        owner=lambda row: event_endpoints.secret_owner_of(row["tenant"], row["key"]),
    ),
    EncryptedTable(
        name="sandbox_message",
        update=statement("encryption_keys/update_sandbox_message"),
        owner=lambda row: sandbox.secret_owner_of(row["tenant"], row["key"]),
    ),
    EncryptedTable(
        name="chat_room",
        update=statement("encryption_keys/update_chat_room"),
        owner=lambda row: chat_rooms.secret_owner_of(row["tenant"], row["subkey"]),
    ),
)
SELECT_PAGE = statement("encryption_keys/select_page")
UPDATE_PAGE_SIZE = 500
COUNT_PAGE_SIZE = 5_000  # rows: reading all may take longer than a statement may
MIN_KEY = (UUID(int=0), "")


async def _read_pages(
    database: Database, table: EncryptedTable, size: int, *, with_documents: bool
) -> AsyncIterator[list[Any]]:
    """Yield all rows of the table, read in short transactions. `with_documents` adds the secrets of rows that have some
    to encrypt by the current key."""
    names = {"name": table.name, "secret_names": list(SECRET_MEMBERS), "current_key_id": database.encryption.key_id}
    (key, subkey), is_last = MIN_KEY, False
    while not is_last:
        page = {"key": key, "subkey": subkey, "limit": size, "with_documents": with_documents}
        async with database.transaction() as session:
            rows = list((await session.execute(SELECT_PAGE, {**names, **page})).mappings())
        yield rows
        if not (is_last := len(rows) < size):
            key, subkey = rows[-1]["key"], rows[-1]["subkey"]


async def count_secrets_by_key(database: Database, table: EncryptedTable) -> Counter[str | None]:
    """Count the secrets of the table by key id, in short statements; None counts those that are not encrypted."""
    counts = Counter[str | None]()
    async for rows in _read_pages(database, table, COUNT_PAGE_SIZE, with_documents=False):
        counts.update(key_id for row in rows for key_id in row["key_ids"] or [])
    return counts


async def reencrypt_table(database: Database, table: EncryptedTable, report: Callable[[int], None]) -> None:
    """Encrypt all secrets of the table with the current key, in short transactions. Can be repeated after an
    interruption.

    `report` is called with the number of rows of each batch. Raise DecryptionError for a secret of an unknown key.
    """
    async for rows in _read_pages(database, table, UPDATE_PAGE_SIZE, with_documents=True):
        items = [_reencrypt_row(database.encryption, table, row) for row in rows if row["document"] is not None]
        if items:
            async with database.transaction() as session:
                await session.execute(table.update, {"items": to_json(items)})
            report(len(items))


def _reencrypt_row(encryption: Encryption, table: EncryptedTable, row: Any) -> Json:
    owner, stored = table.owner(row), decoded(row["document"])
    new = encryption.reencrypt_members(stored, owner)
    derived_columns = table.derived_columns(encryption, row["tenant"], encryption.decrypt_members(new, owner))
    return {"key": row["key"], "subkey": row["subkey"], "o": stored, "n": new, **derived_columns}
