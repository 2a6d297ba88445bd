"""Confirms at the start of a process that its keys are those of the database."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from config_sources import WrongSettings
from storage.database import Database, to_json
from storage.encrypted_tables import TABLES, renew_table, secrets_by_key
from storage.encryption import Encryption, encryption_of
from storage.rows import decoded

LOOKUP = "lookup key"  # no key id: it contains a blank
LOCK = text("SELECT pg_advisory_xact_lock(7201536)")
READ = text("SELECT key_fingerprints FROM engine_state WHERE id = 1")
WRITE = text("""
INSERT INTO engine_state (id, key_fingerprints) VALUES (1, CAST(:known AS jsonb))
ON CONFLICT (id) DO UPDATE SET key_fingerprints = EXCLUDED.key_fingerprints
""")

# Earlier versions kept SHA-256 in hexadecimal.
UNKEYED = "length({}) = 64"
HMAC = "sha256(:outer || sha256(:inner || convert_to({}, 'UTF8')))"
KEYED = f"rtrim(translate(encode({HMAC}, 'base64'), '+/', '-_'), '=')"


async def confirm_keys(database: Database) -> None:
    """Note the keys at the first start, later compare them. Raise WrongSettings for others.

    The first start on a database of an earlier version also encrypts what that has stored, before anything is served.
    """
    async with database.transaction() as session:
        await session.execute(LOCK)
        known = decoded((await session.execute(READ)).scalar_one_or_none())
        encryption = encryption_of(session)
        if known is None:
            for table in TABLES:
                await renew_table(database, table, lambda rows: None)
            await _key_addresses(session, encryption)
        else:
            _refuse_other_keys(known, encryption)
        own = {LOOKUP: encryption.lookup_fingerprint, encryption.key_id: encryption.fingerprints[encryption.key_id]}
        if own.items() <= (known or {}).items():
            return
        await session.execute(WRITE, {"known": to_json({**(known or {}), **own})})


def _refuse_other_keys(known: Mapping[str, str], encryption: Encryption) -> None:
    if known[LOOKUP] != encryption.lookup_fingerprint:
        raise WrongSettings(
            "TOCSIN_LOOKUP_KEY is not the key of this database; suppressed addresses would not be found"
        )
    for id, fingerprint in known.items():
        if id == LOOKUP:
            continue
        if id not in encryption.fingerprints:
            raise WrongSettings(
                f"TOCSIN_ENCRYPTION_KEYS lacks the key {id!r}, by which rows of this database are encrypted; "
                "add it, and run 'tocsin encryption rotate' before it is removed"
            )
        if encryption.fingerprints[id] != fingerprint:
            raise WrongSettings(f"TOCSIN_ENCRYPTION_KEYS has another key {id!r} than this database; use a new id")


async def retire_keys(database: Database) -> set[str]:
    """Forget other keys than the current one as far as no row is encrypted by them. Return those that are left."""
    left = {id for table in TABLES for id in await secrets_by_key(database, table)} - {database.encryption.key_id}
    async with database.transaction() as session:
        await session.execute(LOCK)
        known = decoded((await session.execute(READ)).scalar_one_or_none()) or {}
        kept = {id: value for id, value in known.items() if id in left | {LOOKUP, database.encryption.key_id}}
        await session.execute(WRITE, {"known": to_json(kept)})
    return {id or "none" for id in left}


async def _key_addresses(session: AsyncSession, encryption: Encryption) -> None:
    inner, outer = encryption.lookup_pads
    pads = {"inner": inner, "outer": outer}
    for table in ("suppression", "attempt"):
        keyed, old = KEYED.format("address_key"), UNKEYED.format("address_key")
        await session.execute(text(f"UPDATE {table} SET address_key = {keyed} WHERE {old}"), pads)  # noqa: S608
    keyed, old = KEYED.format("value"), UNKEYED.format("value")
    await session.execute(
        text(f"""
        UPDATE recipient SET address_keys = (
                 SELECT COALESCE(jsonb_object_agg(key, CASE WHEN {old} THEN {keyed} ELSE value END), '{{}}')
                   FROM jsonb_each_text(address_keys)), former_address_keys = '{{}}'
         WHERE EXISTS (SELECT 1 FROM jsonb_each_text(address_keys) WHERE {old})
        """),  # noqa: S608 - constants of our own
        pads,
    )
