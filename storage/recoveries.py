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
from models.queue import HAS_WORKFLOW, TO_START
from storage.queue_entries import DUE
from storage.statements import Executor

FIRST = UUID(int=0)
LOWEST_PRIORITY = 5

IS_UNDER_WAY = "id = 1 AND recovery_since IS NOT NULL AND recovered_at IS NULL"
UNDER_WAY = text(f"SELECT EXISTS (SELECT 1 FROM engine_state WHERE {IS_UNDER_WAY})")  # noqa: S608 - a constant of our own
PLACE = text(f"""
SELECT recovery_since AS since, recovery_priority AS priority, recovery_after AS after FROM engine_state
 WHERE {IS_UNDER_WAY} FOR UPDATE
""")  # noqa: S608
# By the primary key, so that all batches together read the table once per priority. What has been started since then is
# in the new store.
BATCH = text(f"""
WITH lost AS (
  SELECT notification_id FROM queue_entry
   WHERE notification_id > :after AND priority = :priority AND {HAS_WORKFLOW} AND started_at < :since
   ORDER BY notification_id LIMIT :limit FOR UPDATE
)
UPDATE queue_entry q SET {DUE}, started_at = NULL
  FROM lost WHERE q.notification_id = lost.notification_id RETURNING q.notification_id
""")  # noqa: S608 - constants of our own
MOVE = text("""
UPDATE engine_state SET recovery_priority = :priority, recovery_after = :after,
       recovery_done = recovery_done + :count,
       recovered_at = CASE WHEN :is_last THEN clock_timestamp() END
 WHERE id = 1
RETURNING recovery_done, recovery_total, pg_notify(:channel, '')::text
""")
WAITING = text(f"""
SELECT count(*) FROM queue_entry WHERE notification_id = ANY(:ids) AND {TO_START}
""")  # noqa: S608 - a constant of our own


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredBatch:
    """`done` of `total` are due again, with the batch `ids`."""

    ids: list[UUID]
    done: int
    total: int
    is_last: bool


async def is_under_way(session: Executor) -> bool:
    """Whether `recover_batch` has something to do."""
    return bool((await session.execute(UNDER_WAY)).scalar_one())


async def recover_batch(session: AsyncSession, limit: int) -> RecoveredBatch | None:
    """Make the most urgent ones due again, `limit` at most. None if no recovery is under way."""
    place = (await session.execute(PLACE)).mappings().one_or_none()
    if place is None:
        return None
    priority, after = place["priority"], place["after"] or FIRST
    ids: list[UUID] = []
    while priority <= LOWEST_PRIORITY and len(ids) < limit:
        values = {"priority": priority, "after": after, "since": place["since"], "limit": limit - len(ids)}
        found = sorted((await session.execute(BATCH, values)).scalars())
        ids += found
        if len(found) < values["limit"]:
            priority, after = priority + 1, FIRST
        else:
            after = found[-1]
    return await _move(session, ids, priority, after)


async def _move(session: AsyncSession, ids: list[UUID], priority: int, after: UUID) -> RecoveredBatch:
    is_last = priority > LOWEST_PRIORITY
    values: dict[str, Any] = {"priority": priority, "after": after, "count": len(ids), "is_last": is_last}
    row = (await session.execute(MOVE, {**values, "channel": DISPATCH_CHANNEL})).mappings().one()
    return RecoveredBatch(ids=ids, done=row["recovery_done"], total=row["recovery_total"], is_last=is_last)


async def count_waiting(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """How many of them are still to be started."""
    return int((await session.execute(WAITING, {"ids": list(ids)})).scalar_one())
