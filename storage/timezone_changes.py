"""Where people are: in their own zone, else in the tenant's. Called by whatever may change either."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import digests, gates, schedule_occurrences, tenant_timezone_changes

# In the order in which whoever writes several profiles locks them.
LOCK_RECIPIENTS = text("""
SELECT r.recipient_id, COALESCE(r.timezone, n.timezone) FROM recipient r JOIN tenant n ON n.id = r.tenant
 WHERE r.tenant = :tenant AND r.recipient_id = ANY(:recipient_ids) ORDER BY r.recipient_id FOR NO KEY UPDATE OF r
""")


async def find_timezone_changes(
    session: AsyncSession, tenant: UUID, new_timezones: Mapping[str, str | None]
) -> list[str]:
    """Before their profiles are written: who of those with a `given` zone is in another one until now. Whoever is new
    has nothing that waits for an hour. Nobody else moves them until the transaction is over."""
    if not any(new_timezones.values()):
        return []
    rows = await session.execute(LOCK_RECIPIENTS, {"tenant": tenant, "recipient_ids": list(new_timezones)})
    return [changed_id for changed_id, timezone in rows if new_timezones[changed_id] not in (None, timezone)]


async def apply_timezone_changes(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str] | None) -> None:
    """They may be in another zone now: what is due by the clock there is due at another time. None: all of the
    tenant's, since its own zone is another: in batches after the transaction. Windows before notifications, as whoever
    closes a digest locks them."""
    if recipient_ids is None:
        await tenant_timezone_changes.request_timezone_change(session, tenant)
        await gates.reconsider(session, tenant, None)
        return
    await schedule_occurrences.update_timezones(session, tenant, recipient_ids)
    for recipient_id in recipient_ids:
        await digests.update_closing_times(session, tenant, recipient_id)
    for recipient_id in recipient_ids:
        await gates.reconsider(session, tenant, recipient_id)
