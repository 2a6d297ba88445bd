"""The results of sends to several recipients, by the idempotency key that holds for all of them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from models.columns import new_id
from storage.database import to_json
from storage.rows import Json, decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptResults:
    """`results` has one member per entry: `id`, or what the response lists of its errors. `recipients` are those of the
    notifications by id, as they are now."""

    idempotency_hash: str
    results: list[Json]
    recipients: dict[str, str]


KEEP = text("""
INSERT INTO multi_send AS kept (id, tenant, idempotency_key, idempotency_hash, results, created_at, expires_at)
VALUES (:id, :tenant, :key, :hash, CAST(:results AS jsonb), now(), now() + make_interval(secs => :window))
ON CONFLICT (tenant, idempotency_key) DO UPDATE SET idempotency_hash = EXCLUDED.idempotency_hash,
       results = EXCLUDED.results, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
 WHERE kept.expires_at <= now()
RETURNING id
""")
FIND = text("""
SELECT idempotency_hash, results,
       (SELECT COALESCE(jsonb_object_agg(n.id, n.recipient_id), '{}') FROM notification n
         WHERE n.tenant = multi_send.tenant AND n.id = ANY(ARRAY(
           SELECT CAST(result->>'id' AS uuid) FROM jsonb_array_elements(results) AS result))) AS recipients
  FROM multi_send WHERE tenant = :tenant AND idempotency_key = :key AND expires_at > now()
""")


async def keep(session: AsyncSession, tenant: UUID, key: str, hash: str, results: list[Json], window: float) -> bool:
    """Hold the key for `window` seconds. False if a concurrent request holds it, which is committed by then."""
    values: dict[str, Any] = {"id": new_id(), "tenant": tenant, "key": key, "hash": hash, "window": window}
    kept = await session.execute(KEEP, values | {"results": to_json(results)})
    return kept.scalar_one_or_none() is not None


async def find(session: Executor, tenant: UUID, key: str) -> KeptResults | None:
    row = (await session.execute(FIND, {"tenant": tenant, "key": key})).mappings().one_or_none()
    if row is None:
        return None
    results, recipients = decoded(row["results"]), decoded(row["recipients"])
    return KeptResults(idempotency_hash=row["idempotency_hash"], results=results, recipients=recipients)
