"""Receipts about a vendor's unsubscribe groups: of one address and group the latest counts, in whatever order they are
applied and whichever messages they came by. Called by `storage/receipts.py`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from storage.statements import Executor

# Until the transaction ends: another receipt of the address sees what this one makes, or is seen by it.
LOCK_ADDRESS = text("""
SELECT pg_advisory_xact_lock(hashtextextended(concat(tenant, address_hash), 0))::text
  FROM attempt WHERE id = :attempt_id AND tenant = :tenant
""")
# At the same second the recipient has left. A receipt without our reference names its attempt by the vendor's id.
IS_REVOKED = text("""
SELECT EXISTS (
  SELECT 1 FROM attempt mine
    JOIN receipt r ON r.provider = mine.provider AND r.reason = :reason
     AND r.kind IN ('unsubscribed', 'resubscribed') AND r.kind <> :kind AND r.occurred_at >= :at
     AND (r.occurred_at > :at OR CAST(:kind AS text) = 'resubscribed')
    JOIN attempt other ON other.tenant = mine.tenant AND other.address_hash = mine.address_hash
     AND other.id = COALESCE(r.attempt_id, (
       SELECT named.id FROM attempt named
        WHERE named.tenant = mine.tenant AND named.provider = r.provider
          AND named.provider_message_id = r.provider_message_id
        ORDER BY named.started_at LIMIT 1))
   WHERE mine.id = :attempt_id AND mine.tenant = :tenant)
""")


async def is_revoked(
    session: Executor, tenant: UUID, attempt_id: UUID, kind: str, group: str | None, occurred_at: datetime
) -> bool:
    """Return whether a later receipt about the group and the address of this attempt reports the contrary."""
    values = {"attempt_id": attempt_id, "tenant": tenant}
    await session.execute(LOCK_ADDRESS, values)
    revoked = await session.execute(IS_REVOKED, {**values, "reason": group, "kind": kind, "at": occurred_at})
    return bool(revoked.scalar_one())
