"""Where people are: in their own zone, else in the tenant's. Called by whatever may change either."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import digest_collection, gates, schedule_occurrences, tenant_timezone_changes

# In the lock order of transactions that write several profiles.
LOCK_RECIPIENTS = text("""
SELECT r.recipient_id, COALESCE(r.timezone, n.timezone) FROM recipient r JOIN tenant n ON n.id = r.tenant
 WHERE r.tenant = :tenant AND r.recipient_id = ANY(:recipient_ids) ORDER BY r.recipient_id FOR NO KEY UPDATE OF r
""")


async def find_timezone_changes(
    session: AsyncSession, tenant: UUID, new_timezones: Mapping[str, str | None]
) -> list[str]:
    """Lock the recipients and return those whose time zone changes. Call before the profiles are written.

    A new recipient has no notification that waits for a local time. The lock lasts until the end of the transaction."""
    if not any(new_timezones.values()):
        return []
    rows = await session.execute(LOCK_RECIPIENTS, {"tenant": tenant, "recipient_ids": list(new_timezones)})
    return [changed_id for changed_id, timezone in rows if new_timezones[changed_id] not in (None, timezone)]


async def apply_timezone_changes(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str] | None) -> None:
    """Recompute the times of notifications, windows and occurrences that depend on a changed time zone.

    None: all recipients of the tenant, in batches after the transaction. Windows are locked before notifications, as
    where a digest is closed."""
    if recipient_ids is None:
        await tenant_timezone_changes.request_timezone_change(session, tenant)
        await gates.reconsider(session, tenant, None)
        return
    await schedule_occurrences.update_timezones(session, tenant, recipient_ids)
    for recipient_id in recipient_ids:
        await digest_collection.update_closing_times(session, tenant, recipient_id)
    for recipient_id in recipient_ids:
        await gates.reconsider(session, tenant, recipient_id)
