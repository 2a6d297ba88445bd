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
from storage.batch_backoff import FAILED, READY
from storage.queue_entries import DUE
from storage.statements import Executor

NOTE = text("""
WITH noted AS (
  INSERT INTO reconsideration (tenant, reason, after, served_at)
  SELECT :tenant, reason, '00000000-0000-0000-0000-000000000000', now() FROM unnest(CAST(:reasons AS text[])) AS reason
  ON CONFLICT (tenant, reason) DO UPDATE SET after = EXCLUDED.after, recipient_id = '', failures = 0 RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM noted LIMIT 1
""")
# The one that was served longest ago.
FIRST_READY = f"WHERE {READY} ORDER BY served_at, tenant, reason LIMIT 1 FOR UPDATE SKIP LOCKED"
NEXT = text(f"SELECT tenant, reason, after, recipient_id FROM reconsideration {FIRST_READY}")  # noqa: S608
POSTPONE = text(f"""
UPDATE reconsideration SET {FAILED}
 WHERE (tenant, reason) = (SELECT tenant, reason FROM reconsideration {FIRST_READY})
""")  # noqa: S608
BATCH = text(f"""
WITH waiting AS (
  SELECT notification_id FROM queue_entry
   WHERE tenant = :tenant AND waits_for = :reason AND state = 'waiting' AND notification_id > :after
   ORDER BY notification_id LIMIT :limit FOR UPDATE
), due AS (
  UPDATE queue_entry q SET {DUE} FROM waiting
   WHERE q.notification_id = waiting.notification_id RETURNING q.notification_id
)
SELECT count(*), (SELECT notification_id FROM waiting ORDER BY notification_id DESC LIMIT 1) AS last,
       max(pg_notify(:channel, :due)::text) FROM due
""")  # noqa: S608 - a constant of our own
MOVE = text("""
UPDATE reconsideration SET after = :after, recipient_id = :recipient_id, served_at = clock_timestamp(), failures = 0
 WHERE tenant = :tenant AND reason = :reason
""")
DONE = text("DELETE FROM reconsideration WHERE tenant = :tenant AND reason = :reason")


FIRST = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Up to where a batch has come: an id, or a recipient."""

    after: UUID = FIRST
    recipient_id: str = ""


Work = Callable[[AsyncSession, UUID, Place, int], Awaitable[Place | None]]
NO_WORKS: Mapping[str, Work] = MappingProxyType({})


async def note(session: Executor, tenant: UUID, reasons: Sequence[str]) -> None:
    """In the transaction of the change. What is under way for these reasons begins again."""
    values = {"tenant": tenant, "reasons": list(reasons), "channel": DISPATCH_CHANNEL, "due": RECONSIDER_DUE}
    await session.execute(NOTE, values)


async def reconsider_batch(session: AsyncSession, limit: int, works: Mapping[str, Work] = NO_WORKS) -> bool:
    """Do the next batch of a reason: make due what waits for it, or what `works` has for the reason. Tenants in turn.
    False: nothing is left to do."""
    row = (await session.execute(NEXT)).mappings().one_or_none()
    if row is None:
        return False
    work = works.get(row["reason"], partial(_wake, row["reason"]))
    place = await work(session, row["tenant"], Place(after=row["after"], recipient_id=row["recipient_id"]), limit)
    values = {"tenant": row["tenant"], "reason": row["reason"]}
    if place is None:
        await session.execute(DONE, values)
    else:
        await session.execute(MOVE, {**values, "after": place.after, "recipient_id": place.recipient_id})
    return True


async def postpone(session: AsyncSession) -> None:
    """Let others pass the one whose batch has just failed: it is still the first."""
    await session.execute(POSTPONE)


async def _wake(reason: str, session: Executor, tenant: UUID, place: Place, limit: int) -> Place | None:
    values = {"tenant": tenant, "reason": reason, "after": place.after, "limit": limit}
    batch = (await session.execute(BATCH, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE})).mappings().one()
    return None if batch["count"] < limit else Place(after=batch["last"])
