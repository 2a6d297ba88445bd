"""Count the used slots of each limit and queue the notifications that wait for one.

A request locks the row of the window, so counts are exact. Called when preferences are resolved, and by the dispatcher
when a window ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from domain.throttles import CountedLimit, LimitWindow, SlotQueue, has_free_slot, with_slot_taken
from storage.database import to_json
from storage.queue_entries import SET_DUE
from storage.retention import record_pruned
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRequest:
    notification_id: UUID
    generation: int
    tenant: UUID
    priority: int


# Locked in the order of their keys. One that is not there begins as one that is over.
LOCK_WINDOWS = text("""
INSERT INTO throttle_window AS w (tenant, key, starts_at, ends_at, max_slots, per_seconds, used_slots, has_waiters)
SELECT :tenant, key, clock_timestamp(), clock_timestamp(), max_slots, per_seconds, 0, false
  FROM unnest(CAST(:keys AS text[]), CAST(:max_slots AS int[]), CAST(:per_seconds AS float8[]))
       AS claimed(key, max_slots, per_seconds)
 ORDER BY key
ON CONFLICT (tenant, key) DO UPDATE SET max_slots = EXCLUDED.max_slots, per_seconds = EXCLUDED.per_seconds
""")
READ_WINDOWS = text("""
SELECT w.key, w.starts_at, w.ends_at, w.used_slots, w.has_waiters, clock_timestamp() AS now,
       EXISTS (SELECT 1 FROM throttle_queue_entry t WHERE t.notification_id = :id AND t.generation = :generation
                  AND t.key = w.key AND t.granted_at IS NOT NULL) AS has_slot,
       (SELECT count(*) FROM (
          SELECT 1 FROM throttle_queue_entry t JOIN notification n ON n.id = t.notification_id
           WHERE t.tenant = :tenant AND t.key = w.key AND t.granted_at IS NULL
             AND (t.priority, t.notification_id) < (:priority, CAST(:id AS uuid))
             AND n.finished_at IS NULL AND n.generation = t.generation LIMIT wanted.max_slots) better) AS waiting_ahead
  FROM throttle_window w
  JOIN unnest(CAST(:keys AS text[]), CAST(:max_slots AS int[])) AS wanted(key, max_slots) USING (key)
 WHERE w.tenant = :tenant ORDER BY w.key
""")
ACQUIRE_SLOTS = text("""
WITH acquired AS (
  UPDATE throttle_window w SET starts_at = x.starts_at, ends_at = x.ends_at, used_slots = x.used_slots
    FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS x(
         key text, starts_at timestamptz, ends_at timestamptz, used_slots int)
   WHERE w.tenant = :tenant AND w.key = x.key RETURNING w.key
)
INSERT INTO throttle_queue_entry (notification_id, generation, key, tenant, priority, granted_at)
SELECT :id, :generation, key, :tenant, :priority, clock_timestamp() FROM acquired
ON CONFLICT (notification_id, generation, key) DO UPDATE SET granted_at = EXCLUDED.granted_at
""")
# It leaves the queues of other limits: a notification that waits for one limit does not block the queue of another.
ENQUEUE = text("""
WITH awaited_window AS (
  UPDATE throttle_window SET has_waiters = true WHERE tenant = :tenant AND key = ANY(:keys) RETURNING key, ends_at
), left_others AS (
  DELETE FROM throttle_queue_entry WHERE notification_id = :id AND generation = :generation AND granted_at IS NULL
     AND key <> ALL(:keys)
), queued AS (
  INSERT INTO throttle_queue_entry (notification_id, generation, key, tenant, priority)
  SELECT :id, :generation, key, :tenant, :priority FROM awaited_window
  ON CONFLICT (notification_id, generation, key) DO NOTHING
)
SELECT max(ends_at) FROM awaited_window
""")
# Of those who wait so many are counted at most.
MAX_COUNTED = 10_000
SELECT_WINDOWS = text(f"""
SELECT w.key, w.starts_at, w.ends_at, w.used_slots, w.has_waiters, count(waiting.*) AS waiting,
       count(waiting.*) FILTER (WHERE waiting.priority <= :priority) AS waiting_ahead
  FROM throttle_window w LEFT JOIN LATERAL (
       SELECT t.priority FROM throttle_queue_entry t JOIN notification n ON n.id = t.notification_id
        WHERE t.tenant = w.tenant AND t.key = w.key AND t.granted_at IS NULL
          AND n.finished_at IS NULL AND n.generation = t.generation LIMIT {MAX_COUNTED}) waiting ON true
 WHERE w.tenant = :tenant AND w.key = ANY(:keys)
 GROUP BY w.tenant, w.key
""")  # noqa: S608 - a constant of our own
DEQUEUE = text("""
DELETE FROM throttle_queue_entry WHERE notification_id = :id AND generation = :generation AND granted_at IS NULL
""")


async def acquire_slots(
    session: AsyncSession, request: SlotRequest, claimed: Sequence[CountedLimit]
) -> list[CountedLimit]:
    """Acquire a slot of every limit, or of none. Return the limits that have no free slot."""
    values = _request_values(request, claimed)
    await session.execute(LOCK_WINDOWS, values)
    rows = [dict(row) for row in (await session.execute(READ_WINDOWS, values)).mappings()]
    at = max(row.pop("now") for row in rows)
    windows = {row["key"]: LimitWindow(**row) for row in rows}
    full_limits = [
        limit_claim for limit_claim in claimed if not has_free_slot(limit_claim.limit, windows[limit_claim.key], at)
    ]
    if not full_limits:
        saved = [
            {
                "key": limit_claim.key,
                **_window_columns(with_slot_taken(limit_claim.limit, windows[limit_claim.key], at)),
            }
            for limit_claim in claimed
        ]
        await session.execute(ACQUIRE_SLOTS, {**values, "windows": to_json(saved)})
    return full_limits


async def read_windows(
    session: Executor, request: SlotRequest, keys: Sequence[str]
) -> dict[str, tuple[LimitWindow, SlotQueue]]:
    """By key, the windows that have begun and who waits for them; `waiting_ahead` are those that a new one stands
    behind. Nothing is locked or written."""
    values = {"tenant": request.tenant, "priority": request.priority, "keys": list(keys)}
    rows = [dict(row) for row in (await session.execute(SELECT_WINDOWS, values)).mappings()]
    lines = {row["key"]: SlotQueue(waiting=row.pop("waiting"), waiting_ahead=row.pop("waiting_ahead")) for row in rows}
    return {row["key"]: (LimitWindow(**row), lines[row["key"]]) for row in rows}


async def enqueue(session: AsyncSession, request: SlotRequest, full_limits: Sequence[CountedLimit]) -> datetime:
    """Wait for these limits; when there may be room at the earliest."""
    ends_at: datetime = (await session.execute(ENQUEUE, _request_values(request, full_limits))).scalar_one()
    return ends_at


async def dequeue(session: AsyncSession, request: SlotRequest) -> None:
    """Remove the notification from the queues, so that it does not block them while it waits for something else."""
    await session.execute(DEQUEUE, {"id": request.notification_id, "generation": request.generation})


def _request_values(request: SlotRequest, claimed: Sequence[CountedLimit]) -> dict[str, object]:
    return {
        "id": request.notification_id,
        "generation": request.generation,
        "tenant": request.tenant,
        "priority": request.priority,
        "keys": [limit_claim.key for limit_claim in claimed],
        "max_slots": [limit_claim.limit.max_count for limit_claim in claimed],
        "per_seconds": [limit_claim.limit.per.total_seconds() for limit_claim in claimed],
    }


def _window_columns(window: LimitWindow) -> dict[str, object]:
    return {"starts_at": window.starts_at, "ends_at": window.ends_at, "used_slots": window.used_slots}


# Locked first, and read by a statement of its own: it sees who queued while it waited for the lock.
LOCK_ENDED = text("""
SELECT tenant, key FROM throttle_window
 WHERE has_waiters AND ends_at <= now() ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
# Open the next window for as many waiting notifications as it has slots, by priority. New requests queue behind them.
# The others wait for the window after that.
OPEN_NEXT = text(f"""
WITH ended_window AS (
  SELECT tenant, key, max_slots, per_seconds FROM throttle_window
   WHERE (tenant, key) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])))
), waiting AS (
  SELECT o.tenant, o.key, o.max_slots, first.notification_id, first.place
    FROM ended_window o CROSS JOIN LATERAL (
      SELECT t.notification_id, row_number() OVER (ORDER BY t.priority, t.notification_id) AS place
        FROM throttle_queue_entry t JOIN notification n ON n.id = t.notification_id
       WHERE t.tenant = o.tenant AND t.key = o.key AND t.granted_at IS NULL
         AND n.finished_at IS NULL AND n.generation = t.generation
       ORDER BY t.priority, t.notification_id LIMIT o.max_slots + 1) first
), next_entries AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE q.notification_id IN (SELECT notification_id FROM waiting WHERE place <= max_slots) AND q.state = 'waiting'
   ORDER BY q.notification_id FOR UPDATE
), woken AS (
  UPDATE queue_entry q SET {SET_DUE}
    FROM next_entries WHERE q.notification_id = next_entries.notification_id RETURNING q.notification_id
), opened_window AS (
  UPDATE throttle_window w SET starts_at = now(), ends_at = now() + make_interval(secs => o.per_seconds),
         used_slots = 0,
         has_waiters = EXISTS (
           SELECT 1 FROM waiting x WHERE x.tenant = w.tenant AND x.key = w.key AND x.place > o.max_slots)
    FROM ended_window o WHERE w.tenant = o.tenant AND w.key = o.key RETURNING 1
)
SELECT (SELECT count(*) FROM opened_window), (SELECT max(pg_notify(:channel, :due)::text) FROM woken)
""")  # noqa: S608 - a constant of our own
SELECT_NEXT_END = text(
    "SELECT extract(epoch FROM min(ends_at) - clock_timestamp()) FROM throttle_window WHERE has_waiters"
)
# In the order of the primary key, a part of the table at a time: slots and places of notifications that have ended, or
# of an earlier generation. What is open keeps its slot, however often it asks again.
PRUNE_ENTRIES = text("""
WITH part AS (
  SELECT notification_id, generation, key FROM throttle_queue_entry
   WHERE notification_id > :after ORDER BY notification_id LIMIT :limit
), deleted AS (
  DELETE FROM throttle_queue_entry t USING part, notification n
   WHERE t.notification_id = part.notification_id AND t.generation = part.generation AND t.key = part.key
     AND n.id = t.notification_id AND (n.finished_at IS NOT NULL OR n.generation <> t.generation)
  RETURNING 1
)
SELECT (SELECT count(*) FROM part) AS looked_at, (SELECT count(*) FROM deleted) AS pruned,
       (SELECT notification_id FROM part ORDER BY notification_id DESC LIMIT 1) AS last
""")
PURGE = text("""
DELETE FROM throttle_window WHERE (tenant, key) IN (
  SELECT tenant, key FROM throttle_window WHERE NOT has_waiters AND ends_at < now() - interval '1 hour'
   ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING 1
""")


async def open_next(session: AsyncSession, limit: int) -> int:
    """Open windows for waiting notifications. Return how many."""
    ended = (await session.execute(LOCK_ENDED, {"limit": limit})).all()
    if not ended:
        return 0
    values = {"tenants": [row.tenant for row in ended], "keys": [row.key for row in ended]}
    opened = await session.execute(OPEN_NEXT, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE})
    return int(opened.one()[0])


async def seconds_to_next(session: Executor) -> float | None:
    """Return the seconds to the end of the first window with waiters, or None without waiters."""
    left = (await session.execute(SELECT_NEXT_END)).scalar_one()
    return None if left is None else max(0.0, float(left))


async def purge(session: Executor, limit: int) -> None:
    """Delete windows that are long over: the next one begins without them."""
    await record_pruned(session, "throttle_window", len((await session.execute(PURGE, {"limit": limit})).all()))


async def prune(session: Executor, after: UUID, limit: int) -> tuple[UUID | None, int]:
    """Look at up to `limit` slots and places of notifications behind `after`, and delete those of ended ones. Return
    the last notification, None at the end of the table, and how many rows were deleted."""
    row = (await session.execute(PRUNE_ENTRIES, {"after": after, "limit": limit})).mappings().one()
    await record_pruned(session, "throttle_queue_entry", row["pruned"])
    return (row["last"] if row["looked_at"] == limit else None), row["pruned"]
