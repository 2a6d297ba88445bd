"""Open notifications whose workflows were in a lost store become due again, in batches. Called by
`dispatch/recoveries.py`.

Each batch is one transaction and moves the place in `engine_state`, so that another process can continue after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL
from models.queue import HAS_WORKFLOW, IS_TO_START
from storage.queue_entries import SET_DUE
from storage.statements import Executor

MIN_ID = UUID(int=0)
LOWEST_PRIORITY = 5

RECOVERY_IN_PROGRESS = "id = 1 AND recovery_since IS NOT NULL AND recovered_at IS NULL"
IS_RECOVERING = text(f"SELECT EXISTS (SELECT 1 FROM engine_state WHERE {RECOVERY_IN_PROGRESS})")  # noqa: S608 - a constant of our own
LOCK_PROGRESS = text(f"""
SELECT recovery_since AS since, recovery_priority AS priority, recovery_after AS after FROM engine_state
 WHERE {RECOVERY_IN_PROGRESS} FOR UPDATE
""")  # noqa: S608
# By the primary key, so that all batches together read the table once per priority. What has been started since then is
# in the new store.
RESET_BATCH = text(f"""
WITH lost AS (
  SELECT notification_id FROM queue_entry
   WHERE notification_id > :after AND priority = :priority AND {HAS_WORKFLOW} AND started_at < :since
   ORDER BY notification_id LIMIT :limit FOR UPDATE
)
UPDATE queue_entry q SET {SET_DUE}, started_at = NULL
  FROM lost WHERE q.notification_id = lost.notification_id RETURNING q.notification_id
""")  # noqa: S608 - constants of our own
SAVE_PROGRESS = text("""
UPDATE engine_state SET recovery_priority = :priority, recovery_after = :after,
       recovery_done = recovery_done + :count,
       recovered_at = CASE WHEN :is_last THEN clock_timestamp() END
 WHERE id = 1
RETURNING recovery_done, recovery_total, pg_notify(:channel, '')::text
""")
COUNT_UNSTARTED = text(f"""
SELECT count(*) FROM queue_entry WHERE notification_id = ANY(:ids) AND {IS_TO_START}
""")  # noqa: S608 - a constant of our own


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredBatch:
    """`done` of `total` are due again, with the batch `ids`."""

    ids: list[UUID]
    done: int
    total: int
    is_last: bool


async def is_recovering(session: Executor) -> bool:
    """Return whether `recover_batch` has something to do."""
    return bool((await session.execute(IS_RECOVERING)).scalar_one())


async def recover_batch(session: AsyncSession, limit: int) -> RecoveredBatch | None:
    """Make the most urgent ones due again, `limit` at most. None if no recovery is under way."""
    progress = (await session.execute(LOCK_PROGRESS)).mappings().one_or_none()
    if progress is None:
        return None
    priority, after = progress["priority"], progress["after"] or MIN_ID
    ids: list[UUID] = []
    while priority <= LOWEST_PRIORITY and len(ids) < limit:
        values = {"priority": priority, "after": after, "since": progress["since"], "limit": limit - len(ids)}
        batch = sorted((await session.execute(RESET_BATCH, values)).scalars())
        ids += batch
        if len(batch) < values["limit"]:
            priority, after = priority + 1, MIN_ID
        else:
            after = batch[-1]
    return await _save_progress(session, ids, priority, after)


async def _save_progress(session: AsyncSession, ids: list[UUID], priority: int, after: UUID) -> RecoveredBatch:
    is_last = priority > LOWEST_PRIORITY
    values: dict[str, Any] = {"priority": priority, "after": after, "count": len(ids), "is_last": is_last}
    row = (await session.execute(SAVE_PROGRESS, {**values, "channel": DISPATCH_CHANNEL})).mappings().one()
    return RecoveredBatch(ids=ids, done=row["recovery_done"], total=row["recovery_total"], is_last=is_last)


async def count_unstarted(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Return how many of them are still to be started."""
    return int((await session.execute(COUNT_UNSTARTED, {"ids": list(ids)})).scalar_one())
