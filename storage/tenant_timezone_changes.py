"""A tenant has another zone, and so have its recipients without one of their own: what is due by the clock is due at
another time. Noted by `storage/timezone_changes.py`, done in batches by `dispatch/reconsiderations.py`."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import digest_collection, recipients, reconsiderations, schedule_occurrences
from storage.reconsiderations import BatchCursor
from storage.statements import Executor

OCCURRENCES_REASON, DIGESTS_REASON = "zone_of_turns", "zone_of_digests"
SELECT_RECIPIENTS = text("""
SELECT DISTINCT recipient_id FROM schedule_occurrence WHERE tenant = :tenant AND recipient_id > :after
 ORDER BY recipient_id LIMIT :limit
""")


async def request_timezone_change(session: Executor, tenant: UUID) -> None:
    """Request an update of occurrences and digest windows, in the transaction that changes the time zone."""
    await reconsiderations.request_reconsideration(session, tenant, (OCCURRENCES_REASON, DIGESTS_REASON))


async def update_occurrences(
    session: AsyncSession, tenant: UUID, cursor: BatchCursor, limit: int
) -> BatchCursor | None:
    """Plan the occurrences of the next `limit` recipients. Return the cursor after them, or None at the end."""
    found = await session.execute(SELECT_RECIPIENTS, {"tenant": tenant, "after": cursor.recipient_id, "limit": limit})
    recipient_ids = list(found.scalars())
    # Recipients are locked before their occurrences, in the common lock order.
    await recipients.lock_known(session, tenant, recipient_ids)
    await schedule_occurrences.update_timezones(session, tenant, recipient_ids)
    return BatchCursor(recipient_id=recipient_ids[-1]) if len(recipient_ids) == limit else None


async def update_digests(session: AsyncSession, tenant: UUID, cursor: BatchCursor, limit: int) -> BatchCursor | None:
    """Update the next `limit` windows that close on a schedule. Return the cursor after them, or None at the end."""
    last = await digest_collection.update_closing_times_of_tenant(session, tenant, cursor.after, limit)
    return None if last is None else BatchCursor(after=last)


BATCH_HANDLERS = {OCCURRENCES_REASON: update_occurrences, DIGESTS_REASON: update_digests}
