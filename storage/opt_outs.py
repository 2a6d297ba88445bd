"""What people write back, obeyed by every tenant that has their number: STOP suppresses it, START lifts that again.

Called in the transaction that stores the receipt, once for each.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.json_types import JsonObject
from domain.suppressions import CONTACT_BY_CHANNEL, SuppressionReason
from storage import suppressions
from storage.encryption import encryption_of
from storage.suppressions import NewSuppression

PHONE_CONTACT = CONTACT_BY_CHANNEL[Channel.SMS]

SELECT_TENANTS = text("SELECT id FROM tenant")

# Locked against an erasure, which must find the number that is kept; and in one order.
LOCK_OWNERS = text("""
SELECT r.tenant, k.key
  FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(tenant, key)
  JOIN recipient r ON r.tenant = k.tenant AND r.address_hashes->>'phone' = k.key
 ORDER BY r.tenant, r.recipient_id FOR KEY SHARE OF r
""")

# What an operator has entered, or a complaint, is not theirs to lift. Locked in the order of OWNERS.
LIFT_OPT_OUTS = text("""
WITH theirs AS (
  SELECT s.id FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(tenant, key)
    JOIN suppression s ON s.tenant = k.tenant AND s.address_hash = k.key
   WHERE s.channel = :channel AND s.lifted_at IS NULL AND s.source = :source AND s.reason = :reason
   ORDER BY s.tenant FOR UPDATE OF s
)
UPDATE suppression s SET lifted_at = now() FROM theirs WHERE s.id = theirs.id
""")


async def opt_out(session: AsyncSession, source: str, phone: str) -> None:
    """Suppress this phone number for the tenants that have it. `source` is the provider that received the message."""
    rows = await session.execute(LOCK_OWNERS, await _hashes_by_tenant(session, phone))
    for tenant, key in dict.fromkeys((row.tenant, row.key) for row in rows):
        new = NewSuppression(
            channel=Channel.SMS,
            address_hash=key,
            address={PHONE_CONTACT: phone},
            reason=SuppressionReason.OPTED_OUT,
            source=source,
        )
        await suppressions.add(session, tenant, new)


async def opt_in(session: AsyncSession, source: str, phone: str) -> None:
    """Lift opt-outs of a phone number, also those known only from a rejection by this provider."""
    lift_values = {"channel": Channel.SMS, "source": source, "reason": SuppressionReason.OPTED_OUT}
    await session.execute(LIFT_OPT_OUTS, await _hashes_by_tenant(session, phone) | lift_values)


async def _hashes_by_tenant(session: AsyncSession, phone: str) -> JsonObject:
    """Return the hash of the number for each tenant. The hash of one tenant reveals nothing about those of others."""
    tenants: list[UUID] = list((await session.execute(SELECT_TENANTS)).scalars())
    encryption = encryption_of(session)
    return {"tenants": tenants, "keys": [encryption.address_hash(tenant, PHONE_CONTACT, phone) for tenant in tenants]}
