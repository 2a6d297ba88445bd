"""The hold that begins when processes start on a restored database, and its end. In the row of `engine_state`.

Until an operator releases it, nothing is started or sent. What is older than its beginning may have been sent after the
backup was made: `storage/claims.py` and `storage/attempts.py` compare ids with `restored_before`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL
from storage.statements import Executor
from storage.temporal_stores import INSERT_STATE, begin_recovery

SELECT_HOLD = text("""
SELECT hold_name AS name, restored_at AS since, hold_name IS DISTINCT FROM released_hold AS in_force
  FROM engine_state WHERE id = 1
""")
SELECT_NOW = text("SELECT clock_timestamp()")
BEGIN_HOLD = text("""
UPDATE engine_state SET hold_name = :name, restored_at = :at, restored_before = :before
 WHERE id = 1 AND hold_name IS DISTINCT FROM :name
""")
RELEASE_HOLD = text("""
UPDATE engine_state SET released_hold = hold_name
 WHERE id = 1 AND hold_name = :name AND released_hold IS DISTINCT FROM :name
RETURNING pg_notify(:channel, '')::text
""")

NotificationGeneration = tuple[UUID, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class StartHold:
    """`since` is when the first process started with it."""

    name: str
    since: datetime
    in_force: bool


async def read_hold(session: Executor) -> StartHold | None:
    """Return the last one; None before the first."""
    row = (await session.execute(SELECT_HOLD)).mappings().one_or_none()
    return None if row is None or row["name"] is None else StartHold(**row)


async def begin_hold(session: Executor, name: str) -> None:
    """Hold everything under this name. Does nothing if that is the name of the last hold, released or not."""
    await session.execute(INSERT_STATE)
    at: datetime = (await session.execute(SELECT_NOW)).scalar_one()
    before = UUID(int=int(at.timestamp() * 1000) << 80)  # the ids of all tables are UUIDv7
    await session.execute(BEGIN_HOLD, {"name": name, "at": at, "before": before})


async def release_hold(session: Executor, name: str) -> int | None:
    """End the hold, and start again what the database says was started: Temporal has workflows of a later state.
    Return how many notifications that are; None if no hold of this name is in force. In a transaction of the caller."""
    released = (await session.execute(RELEASE_HOLD, {"name": name, "channel": DISPATCH_CHANNEL})).first()
    return None if released is None else await begin_recovery(session)


SELECT_WORKFLOW_CLEANUP = text("""
SELECT restored_at FROM engine_state
 WHERE id = 1 AND hold_name = released_hold AND workflows_ended_at IS DISTINCT FROM restored_at
   AND recovered_at IS NOT NULL
""")
RECORD_WORKFLOWS_ENDED = text("UPDATE engine_state SET workflows_ended_at = :at WHERE id = 1")
SELECT_UNKNOWN = text("""
SELECT x.id, x.generation FROM unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
 WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = x.id AND n.generation >= x.generation)
""")


async def find_pending_workflow_cleanup(session: Executor) -> datetime | None:
    """Return the time of the restore if workflows of unknown notifications from before it are still to be ended."""
    at: datetime | None = (await session.execute(SELECT_WORKFLOW_CLEANUP)).scalar_one_or_none()
    return at


async def record_workflows_ended(session: Executor, at: datetime) -> None:
    """Record that the workflows were ended for the restore at time `at`."""
    await session.execute(RECORD_WORKFLOWS_ENDED, {"at": at})


async def find_unknown(
    session: Executor, notifications: Sequence[NotificationGeneration]
) -> list[NotificationGeneration]:
    """Return those of these notifications and generations of which there is no row."""
    values = {"ids": [id for id, _ in notifications], "generations": [generation for _, generation in notifications]}
    return [(row.id, row.generation) for row in await session.execute(SELECT_UNKNOWN, values)]
