"""Confirms at the start of a process that its keys are those of the database."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import text

from config_sources import InvalidSettings
from storage.database import Database, to_json
from storage.encrypted_tables import TABLES, count_secrets_by_key
from storage.encryption import Encryption
from storage.rows import decoded

LOOKUP_KEY_NAME = "lookup key"  # no key id: it contains a blank
LOCK_ID = 7_201_536
POLL_INTERVAL = 0.1  # seconds
SELECT_FINGERPRINTS = text("SELECT key_fingerprints FROM engine_state WHERE id = 1")
SAVE_FINGERPRINTS = text("""
INSERT INTO engine_state (id, key_fingerprints) VALUES (1, CAST(:known AS jsonb))
ON CONFLICT (id) DO UPDATE SET key_fingerprints = EXCLUDED.key_fingerprints
""")


async def verify_keys(database: Database) -> None:
    """Record the keys at the first start, and compare them at each later one. Raise InvalidSettings if they differ."""
    async with _exclusive_lock(database):
        known = await _read_fingerprints(database)
        if known:
            _check_fingerprints(known, database.encryption)
        await _record_fingerprints(database, known)


@asynccontextmanager
async def _exclusive_lock(database: Database) -> AsyncIterator[None]:
    """Hold a lock of a session of its own. No transaction stays open, because a timeout would end it."""
    connection = await database.dedicated()
    try:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_ID):  # noqa: ASYNC110 - of others
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
    """Forget other keys than the current one as far as no row is encrypted by them. Return those that are left.

    The rows are those that `tocsin encryption status` counts."""
    keys_in_use = {id for table in TABLES for id in await count_secrets_by_key(database, table)} - {
        database.encryption.key_id
    }
    async with _exclusive_lock(database):
        known = await _read_fingerprints(database)
        kept_fingerprints = {
            id: value
            for id, value in known.items()
            if id in keys_in_use | {LOOKUP_KEY_NAME, database.encryption.key_id}
        }
        async with database.transaction() as session:
            await session.execute(SAVE_FINGERPRINTS, {"known": to_json(kept_fingerprints)})
    return {id or "none" for id in keys_in_use}
