"""Reconsider waiting notifications and due times after a change of time zones, quiet hours or frequency caps.

A change of one recipient is applied in its transaction. A change of a tenant is only recorded there, and applied in
batches by `dispatch/large_changes.py`. The cursor moves in the transaction of its batch, so that another process
continues after it and no notification is woken twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cursors import MIN_ID
from domain.gates import TIME_GATE_REASONS
from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, RECONSIDER_DUE
from storage import digest_collection, recipients, schedule_occurrences
from storage.statements import statement

INSERT_RECONSIDERATIONS = statement("reconsiderations/insert_reconsiderations")
RECONSIDER_RECIPIENT = statement("reconsiderations/reconsider_recipient")
# Both take the reason that was served longest ago. One whose batch has failed waits for 2, 4, 8 … 600 s.
LOCK_NEXT = statement("reconsiderations/lock_next")
POSTPONE_FAILED = statement("reconsiderations/postpone_failed")
MAKE_BATCH_DUE = statement("reconsiderations/make_batch_due")
SAVE_PROGRESS = text("""
UPDATE reconsideration SET after = :after, recipient_id = :recipient_id, last_batch_at = clock_timestamp(), failures = 0
 WHERE tenant = :tenant AND reason = :reason
""")
DELETE_DONE = text("DELETE FROM reconsideration WHERE tenant = :tenant AND reason = :reason")
# In the lock order of transactions that write several profiles.
LOCK_RECIPIENTS = statement("reconsiderations/lock_recipients")
SELECT_RECIPIENTS = statement("reconsiderations/select_recipients")

OCCURRENCES_REASON, DIGESTS_REASON = "zone_of_turns", "zone_of_digests"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCursor:
    """Hold the last id, or the last recipient, of a batch."""

    after: UUID = MIN_ID
    recipient_id: str = ""


BatchHandler = Callable[[AsyncSession, UUID, BatchCursor, int], Awaitable[BatchCursor | None]]


async def reconsider(
    session: AsyncSession, tenant: UUID, recipient_id: str | None, reasons: Sequence[str] = TIME_GATE_REASONS
) -> None:
    """Check the notifications that wait for these reasons again. None: those of all recipients, in batches after the
    transaction. A pass in progress for these reasons restarts."""
    values = {"tenant": tenant, "reasons": [str(reason) for reason in reasons], "channel": DISPATCH_CHANNEL}
    if recipient_id is None:
        await session.execute(INSERT_RECONSIDERATIONS, {**values, "due": RECONSIDER_DUE})
    else:
        await session.execute(RECONSIDER_RECIPIENT, {**values, "recipient_id": recipient_id, "due": QUEUE_DUE})


async def reconsider_batch(session: AsyncSession, limit: int) -> bool:
    """Process the next batch of a reason: make its entries due, or call the handler of the reason.

    Serve tenants round-robin. Return False if no batch is left."""
    row = (await session.execute(LOCK_NEXT)).mappings().one_or_none()
    if row is None:
        return False
    handler = BATCH_HANDLERS.get(row["reason"], partial(_make_due, row["reason"]))
    cursor = await handler(
        session, row["tenant"], BatchCursor(after=row["after"], recipient_id=row["recipient_id"]), limit
    )
    values = {"tenant": row["tenant"], "reason": row["reason"]}
    if cursor is None:
        await session.execute(DELETE_DONE, values)
    else:
        await session.execute(SAVE_PROGRESS, {**values, "after": cursor.after, "recipient_id": cursor.recipient_id})
    return True


async def postpone_failed(session: AsyncSession) -> None:
    """Postpone the reason whose batch has just failed, so that it does not block the others."""
    await session.execute(POSTPONE_FAILED)


async def _make_due(
    reason: str, session: AsyncSession, tenant: UUID, cursor: BatchCursor, limit: int
) -> BatchCursor | None:
    values = {"tenant": tenant, "reason": reason, "after": cursor.after, "limit": limit}
    made_due = await session.execute(MAKE_BATCH_DUE, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE})
    batch = made_due.mappings().one()
    return None if batch["count"] < limit else BatchCursor(after=batch["last"])


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
        await reconsider(session, tenant, None, (OCCURRENCES_REASON, DIGESTS_REASON, *TIME_GATE_REASONS))
        return
    await schedule_occurrences.update_timezones(session, tenant, recipient_ids)
    for recipient_id in recipient_ids:
        await digest_collection.update_closing_times(session, tenant, recipient_id)
    for recipient_id in recipient_ids:
        await reconsider(session, tenant, recipient_id)


async def _update_occurrences(
    session: AsyncSession, tenant: UUID, cursor: BatchCursor, limit: int
) -> BatchCursor | None:
    """Plan the occurrences of the next `limit` recipients. Return the cursor after them, or None at the end."""
    found = await session.execute(SELECT_RECIPIENTS, {"tenant": tenant, "after": cursor.recipient_id, "limit": limit})
    recipient_ids = list(found.scalars())
    # Recipients are locked before their occurrences, in the common lock order.
    await recipients.lock_known(session, tenant, recipient_ids)
    await schedule_occurrences.update_timezones(session, tenant, recipient_ids)
    return BatchCursor(recipient_id=recipient_ids[-1]) if len(recipient_ids) == limit else None


async def _update_digests(session: AsyncSession, tenant: UUID, cursor: BatchCursor, limit: int) -> BatchCursor | None:
    """Update the next `limit` windows that close on a schedule. Return the cursor after them, or None at the end."""
    last = await digest_collection.update_closing_times_of_tenant(session, tenant, cursor.after, limit)
    return None if last is None else BatchCursor(after=last)


BATCH_HANDLERS: Mapping[str, BatchHandler] = {OCCURRENCES_REASON: _update_occurrences, DIGESTS_REASON: _update_digests}
