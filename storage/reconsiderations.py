"""What waits for a setting of a tenant asks again when that changes: noted by `storage/gates.py`, done in batches by
`dispatch/reconsiderations.py`.

The place is moved in the transaction of its batch: another process continues behind it, and none is woken twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, RECONSIDER_DUE
from storage.batch_backoff import IS_READY, RECORD_FAILURE
from storage.queue_entries import SET_DUE
from storage.statements import Executor

INSERT_RECONSIDERATIONS = text("""
WITH noted AS (
  INSERT INTO reconsideration (tenant, reason, after, last_batch_at)
  SELECT :tenant, reason, '00000000-0000-0000-0000-000000000000', now() FROM unnest(CAST(:reasons AS text[])) AS reason
  ON CONFLICT (tenant, reason) DO UPDATE SET after = EXCLUDED.after, recipient_id = '', failures = 0 RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM noted LIMIT 1
""")
# The one that was served longest ago.
NEXT_READY = f"WHERE {IS_READY} ORDER BY last_batch_at, tenant, reason LIMIT 1 FOR UPDATE SKIP LOCKED"
LOCK_NEXT = text(f"SELECT tenant, reason, after, recipient_id FROM reconsideration {NEXT_READY}")  # noqa: S608
POSTPONE_FAILED = text(f"""
UPDATE reconsideration SET {RECORD_FAILURE}
 WHERE (tenant, reason) = (SELECT tenant, reason FROM reconsideration {NEXT_READY})
""")  # noqa: S608
MAKE_BATCH_DUE = text(f"""
WITH waiting AS (
  SELECT notification_id FROM queue_entry
   WHERE tenant = :tenant AND waits_for = :reason AND state = 'waiting' AND notification_id > :after
   ORDER BY notification_id LIMIT :limit FOR UPDATE
), due AS (
  UPDATE queue_entry q SET {SET_DUE} FROM waiting
   WHERE q.notification_id = waiting.notification_id RETURNING q.notification_id
)
SELECT count(*), (SELECT notification_id FROM waiting ORDER BY notification_id DESC LIMIT 1) AS last,
       max(pg_notify(:channel, :due)::text) FROM due
""")  # noqa: S608 - a constant of our own
SAVE_PROGRESS = text("""
UPDATE reconsideration SET after = :after, recipient_id = :recipient_id, last_batch_at = clock_timestamp(), failures = 0
 WHERE tenant = :tenant AND reason = :reason
""")
DELETE_DONE = text("DELETE FROM reconsideration WHERE tenant = :tenant AND reason = :reason")


MIN_ID = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCursor:
    """Up to where a batch has come: an id, or a recipient."""

    after: UUID = MIN_ID
    recipient_id: str = ""


BatchHandler = Callable[[AsyncSession, UUID, BatchCursor, int], Awaitable[BatchCursor | None]]
NO_HANDLERS: Mapping[str, BatchHandler] = MappingProxyType({})


async def request_reconsideration(session: Executor, tenant: UUID, reasons: Sequence[str]) -> None:
    """Request, in the transaction of the change, that waiting notifications with these reasons are checked again. A
    pass in progress for these reasons restarts."""
    values = {"tenant": tenant, "reasons": list(reasons), "channel": DISPATCH_CHANNEL, "due": RECONSIDER_DUE}
    await session.execute(INSERT_RECONSIDERATIONS, values)


async def reconsider_batch(
    session: AsyncSession, limit: int, handlers: Mapping[str, BatchHandler] = NO_HANDLERS
) -> bool:
    """Process the next batch of a reason: make its entries due, or call the handler of the reason.

    Serve tenants round-robin. Return False if no batch is left."""
    row = (await session.execute(LOCK_NEXT)).mappings().one_or_none()
    if row is None:
        return False
    handler = handlers.get(row["reason"], partial(_make_due, row["reason"]))
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
    """Let others pass the one whose batch has just failed: it is still the first."""
    await session.execute(POSTPONE_FAILED)


async def _make_due(
    reason: str, session: Executor, tenant: UUID, cursor: BatchCursor, limit: int
) -> BatchCursor | None:
    values = {"tenant": tenant, "reason": reason, "after": cursor.after, "limit": limit}
    batch = (
        (await session.execute(MAKE_BATCH_DUE, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}))
        .mappings()
        .one()
    )
    return None if batch["count"] < limit else BatchCursor(after=batch["last"])
