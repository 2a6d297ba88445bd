"""The results of sends to several recipients, by the idempotency key that holds for all of them.

The erasure of a recipient whom the key quotes replaces it by a keyed hash, so that a repeat is still recognized.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from models.columns import new_id
from storage.database import to_json
from storage.encryption import Encryption, encryption_of
from storage.rows import decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResults:
    """`results` has one member per entry: `id`, or what the response lists of its errors. `recipients` are those of the
    notifications by id, as they are now."""

    idempotency_hash: str
    results: list[JsonObject]
    recipients: dict[str, str]


INSERT_RESULTS = text("""
INSERT INTO multi_send AS kept (id, tenant, idempotency_key, idempotency_hash, results, created_at, expires_at)
SELECT :id, :tenant, :key, :hash, CAST(:results AS jsonb), now(), now() + make_interval(secs => :window)
 WHERE NOT EXISTS (
   SELECT 1 FROM multi_send WHERE tenant = :tenant AND idempotency_key = :hashed_key AND expires_at > now())
ON CONFLICT (tenant, idempotency_key) DO UPDATE SET idempotency_hash = EXCLUDED.idempotency_hash,
       results = EXCLUDED.results, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
 WHERE kept.expires_at <= now()
RETURNING id
""")
# The first notification holds the key too, in the unique index of the keys of sends to one recipient: of a concurrent
# one only one is accepted. That costs sends to one recipient nothing.
HOLD_KEY = text("""
UPDATE notification SET idempotency_key = :key, idempotency_hash = :hash, holds_idempotency_key = true
 WHERE tenant = :tenant AND id = CAST(:holder AS uuid)
""")
SELECT_RESULTS = text("""
SELECT idempotency_hash, results,
       (SELECT COALESCE(jsonb_object_agg(n.id, n.recipient_id), '{}') FROM notification n
         WHERE n.tenant = multi_send.tenant AND n.id = ANY(ARRAY(
           SELECT CAST(result->>'id' AS uuid) FROM jsonb_array_elements(results) AS result))) AS recipients
  FROM multi_send WHERE tenant = :tenant AND idempotency_key IN (:key, :hashed_key) AND expires_at > now()
""")

LOCK_MATCHING_KEYS = text("""
SELECT id, idempotency_key FROM multi_send WHERE tenant = :tenant
   AND EXISTS (SELECT 1 FROM unnest(CAST(:quoted AS text[])) AS each WHERE idempotency_key ~* each)
 ORDER BY id FOR UPDATE
""")
REPLACE_KEYS = text("""
WITH given AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:hashed_keys AS text[]))
    AS x(id, key, hashed_key)
), released AS (
  UPDATE notification n SET idempotency_key = NULL, idempotency_hash = NULL, holds_idempotency_key = false FROM given
   WHERE n.tenant = :tenant AND n.holds_idempotency_key AND n.idempotency_key = given.key
)
UPDATE multi_send m SET idempotency_key = given.hashed_key FROM given WHERE m.tenant = :tenant AND m.id = given.id
""")


async def store_results(
    session: AsyncSession, tenant: UUID, key: str, hash: str, results: list[JsonObject], window: float
) -> bool:
    """Hold the key for `window` seconds. False if a concurrent request holds it, which is committed by then: the caller
    rolls back."""
    values: dict[str, Any] = {"id": new_id(), "tenant": tenant, "key": key, "hash": hash, "window": window}
    values |= {"hashed_key": hash_key(encryption_of(session), tenant, key), "results": to_json(results)}
    values["holder"] = next((result["id"] for result in results if "id" in result), None)
    if (await session.execute(INSERT_RESULTS, values)).scalar_one_or_none() is None:
        return False
    try:
        await session.execute(HOLD_KEY, values)
    except IntegrityError:
        return False
    return True


async def find_results(session: Executor, tenant: UUID, key: str) -> StoredResults | None:
    values = {"tenant": tenant, "key": key, "hashed_key": hash_key(encryption_of(session), tenant, key)}
    row = (await session.execute(SELECT_RESULTS, values)).mappings().one_or_none()
    if row is None:
        return None
    results, recipients = decoded(row["results"]), decoded(row["recipients"])
    return StoredResults(idempotency_hash=row["idempotency_hash"], results=results, recipients=recipients)


async def replace_keys(session: AsyncSession, tenant: UUID, patterns: Sequence[str]) -> None:
    """Replace the keys that match one of these regular expressions."""
    found = list((await session.execute(LOCK_MATCHING_KEYS, {"tenant": tenant, "quoted": list(patterns)})).mappings())
    if found:
        keys = [row["idempotency_key"] for row in found]
        hashed = [hash_key(encryption_of(session), tenant, key) for key in keys]
        values = {"tenant": tenant, "ids": [row["id"] for row in found], "keys": keys, "hashed_keys": hashed}
        await session.execute(REPLACE_KEYS, values)


def hash_key(encryption: Encryption, tenant: UUID, key: str) -> str:
    """Return the hash that replaces the key at an erasure."""
    return encryption.lookup_hash(f"multi_send:{tenant}:{key}")
