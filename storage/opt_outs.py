"""What people write back, obeyed by every tenant that has their number: STOP suppresses it, START lifts that again.

Called in the transaction that stores the receipt, once for each.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.suppressions import LISTED, SuppressionReason
from storage import suppressions
from storage.encryption import encryption_of
from storage.rows import Json
from storage.suppressions import NewSuppression

NUMBER = LISTED[Channel.SMS]

TENANTS = text("SELECT id FROM tenant")

# Locked against an erasure, which must find the number that is kept; and in one order.
OWNERS = text("""
SELECT r.tenant, k.key
  FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(tenant, key)
  JOIN recipient r ON r.tenant = k.tenant AND r.address_keys->>'phone' = k.key
 ORDER BY r.tenant, r.recipient_id FOR KEY SHARE OF r
""")

# What an operator has entered, or a complaint, is not theirs to lift. Locked in the order of OWNERS.
LIFT = text("""
WITH theirs AS (
  SELECT s.id FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(tenant, key)
    JOIN suppression s ON s.tenant = k.tenant AND s.address_key = k.key
   WHERE s.channel = :channel AND s.lifted_at IS NULL AND s.source = :source AND s.reason = :reason
   ORDER BY s.tenant FOR UPDATE OF s
)
UPDATE suppression s SET lifted_at = now() FROM theirs WHERE s.id = theirs.id
""")


async def opt_out(session: AsyncSession, source: str, phone: str) -> None:
    """`source` is the provider that they wrote to."""
    rows = await session.execute(OWNERS, await _keys(session, phone))
    for tenant, key in dict.fromkeys((row.tenant, row.key) for row in rows):
        new = NewSuppression(
            channel=Channel.SMS,
            address_key=key,
            address={NUMBER: phone},
            reason=SuppressionReason.OPTED_OUT,
            source=source,
        )
        await suppressions.add(session, tenant, new)


async def opt_in(session: AsyncSession, source: str, phone: str) -> None:
    """Also of a refusal by which that provider told us of a STOP that we have not seen."""
    theirs = {"channel": Channel.SMS, "source": source, "reason": SuppressionReason.OPTED_OUT}
    await session.execute(LIFT, await _keys(session, phone) | theirs)


async def _keys(session: AsyncSession, phone: str) -> Json:
    """Of that number, by tenant: a key tells nothing of the others."""
    tenants: list[UUID] = list((await session.execute(TENANTS)).scalars())
    encryption = encryption_of(session)
    return {"tenants": tenants, "keys": [encryption.address_key(tenant, NUMBER, phone) for tenant in tenants]}
