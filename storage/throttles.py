"""How much of each limit is used, and who waits for the rest of it. Exact under concurrency: whoever asks holds the row
of the window. Called when preferences are resolved, and by the dispatcher when a window is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from domain.throttles import Claimed, Line, Window, has_room, taken
from storage.database import to_json
from storage.pruned_counts import note_pruned
from storage.queue_entries import DUE
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    notification_id: UUID
    generation: int
    tenant: UUID
    priority: int


# Locked in the order of their keys. One that is not there begins as one that is over.
LOCK = text("""
INSERT INTO throttle_window AS w (tenant, key, starts_at, ends_at, most, per, used, awaited)
SELECT :tenant, key, clock_timestamp(), clock_timestamp(), most, per, 0, false
  FROM unnest(CAST(:keys AS text[]), CAST(:most AS int[]), CAST(:per AS float8[])) AS claimed(key, most, per)
 ORDER BY key
ON CONFLICT (tenant, key) DO UPDATE SET most = EXCLUDED.most, per = EXCLUDED.per
""")
READ = text("""
SELECT w.key, w.starts_at, w.ends_at, w.used, w.awaited, clock_timestamp() AS now,
       EXISTS (SELECT 1 FROM throttle_turn t WHERE t.notification_id = :id AND t.generation = :generation
                  AND t.key = w.key AND t.granted_at IS NOT NULL) AS granted,
       (SELECT count(*) FROM (
          SELECT 1 FROM throttle_turn t JOIN notification n ON n.id = t.notification_id
           WHERE t.tenant = :tenant AND t.key = w.key AND t.granted_at IS NULL
             AND (t.priority, t.notification_id) < (:priority, CAST(:id AS uuid))
             AND n.finished_at IS NULL AND n.generation = t.generation LIMIT wanted.most) better) AS ahead
  FROM throttle_window w
  JOIN unnest(CAST(:keys AS text[]), CAST(:most AS int[])) AS wanted(key, most) USING (key)
 WHERE w.tenant = :tenant ORDER BY w.key
""")
SAVE = text("""
WITH kept AS (
  UPDATE throttle_window w SET starts_at = x.starts_at, ends_at = x.ends_at, used = x.used
    FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS x(
         key text, starts_at timestamptz, ends_at timestamptz, used int)
   WHERE w.tenant = :tenant AND w.key = x.key RETURNING w.key
)
INSERT INTO throttle_turn (notification_id, generation, key, tenant, priority, granted_at)
SELECT :id, :generation, key, :tenant, :priority, clock_timestamp() FROM kept
ON CONFLICT (notification_id, generation, key) DO UPDATE SET granted_at = EXCLUDED.granted_at
""")
# Of other limits it leaves the queue: what waits for one stands in nobody's way at another.
QUEUE = text("""
WITH awaited AS (
  UPDATE throttle_window SET awaited = true WHERE tenant = :tenant AND key = ANY(:keys) RETURNING key, ends_at
), left_others AS (
  DELETE FROM throttle_turn WHERE notification_id = :id AND generation = :generation AND granted_at IS NULL
     AND key <> ALL(:keys)
), queued AS (
  INSERT INTO throttle_turn (notification_id, generation, key, tenant, priority)
  SELECT :id, :generation, key, :tenant, :priority FROM awaited
  ON CONFLICT (notification_id, generation, key) DO NOTHING
)
SELECT max(ends_at) FROM awaited
""")
# Of those who wait so many are counted at most.
COUNTED = 10_000
LOOK = text(f"""
SELECT w.key, w.starts_at, w.ends_at, w.used, w.awaited, count(waiting.*) AS waiting,
       count(waiting.*) FILTER (WHERE waiting.priority <= :priority) AS ahead
  FROM throttle_window w LEFT JOIN LATERAL (
       SELECT t.priority FROM throttle_turn t JOIN notification n ON n.id = t.notification_id
        WHERE t.tenant = w.tenant AND t.key = w.key AND t.granted_at IS NULL
          AND n.finished_at IS NULL AND n.generation = t.generation LIMIT {COUNTED}) waiting ON true
 WHERE w.tenant = :tenant AND w.key = ANY(:keys)
 GROUP BY w.tenant, w.key
""")  # noqa: S608 - a constant of our own
LEAVE = text("""
DELETE FROM throttle_turn WHERE notification_id = :id AND generation = :generation AND granted_at IS NULL
""")


async def take(session: AsyncSession, asker: Asker, claimed: Sequence[Claimed]) -> list[Claimed]:
    """A slot of each limit, or of none: those that have no room for it now."""
    values = _values(asker, claimed)
    await session.execute(LOCK, values)
    rows = [dict(row) for row in (await session.execute(READ, values)).mappings()]
    at = max(row.pop("now") for row in rows)
    windows = {row["key"]: Window(**row) for row in rows}
    full = [each for each in claimed if not has_room(each.limit, windows[each.key], at)]
    if not full:
        saved = [{"key": each.key, **_columns(taken(each.limit, windows[each.key], at))} for each in claimed]
        await session.execute(SAVE, {**values, "windows": to_json(saved)})
    return full


async def look(session: Executor, asker: Asker, keys: Sequence[str]) -> dict[str, tuple[Window, Line]]:
    """By key, the windows that have begun and who waits for them; `ahead` are those that a new one stands behind.
    Nothing is locked or written."""
    values = {"tenant": asker.tenant, "priority": asker.priority, "keys": list(keys)}
    rows = [dict(row) for row in (await session.execute(LOOK, values)).mappings()]
    lines = {row["key"]: Line(waiting=row.pop("waiting"), ahead=row.pop("ahead")) for row in rows}
    return {row["key"]: (Window(**row), lines[row["key"]]) for row in rows}


async def queue(session: AsyncSession, asker: Asker, full: Sequence[Claimed]) -> datetime:
    """Wait for these limits; when there may be room at the earliest."""
    ends_at: datetime = (await session.execute(QUEUE, _values(asker, full))).scalar_one()
    return ends_at


async def leave(session: AsyncSession, asker: Asker) -> None:
    """It waits for something else first, and stands in nobody's way meanwhile."""
    await session.execute(LEAVE, {"id": asker.notification_id, "generation": asker.generation})


def _values(asker: Asker, claimed: Sequence[Claimed]) -> dict[str, object]:
    return {
        "id": asker.notification_id,
        "generation": asker.generation,
        "tenant": asker.tenant,
        "priority": asker.priority,
        "keys": [each.key for each in claimed],
        "most": [each.limit.most for each in claimed],
        "per": [each.limit.per.total_seconds() for each in claimed],
    }


def _columns(window: Window) -> dict[str, object]:
    return {"starts_at": window.starts_at, "ends_at": window.ends_at, "used": window.used}


# Locked first, and read by a statement of its own: it sees who queued while it waited for the lock.
OVER = text("""
SELECT tenant, key FROM throttle_window
 WHERE awaited AND ends_at <= now() ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
# The next window begins, for those who are told of it: the most urgent of those who wait, as many as it has room for.
# Whoever comes new finds them ahead. The rest waits for the one after that.
ROLL = text(f"""
WITH over AS (
  SELECT tenant, key, most, per FROM throttle_window
   WHERE (tenant, key) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])))
), waiting AS (
  SELECT o.tenant, o.key, o.most, first.notification_id, first.place
    FROM over o CROSS JOIN LATERAL (
      SELECT t.notification_id, row_number() OVER (ORDER BY t.priority, t.notification_id) AS place
        FROM throttle_turn t JOIN notification n ON n.id = t.notification_id
       WHERE t.tenant = o.tenant AND t.key = o.key AND t.granted_at IS NULL
         AND n.finished_at IS NULL AND n.generation = t.generation
       ORDER BY t.priority, t.notification_id LIMIT o.most + 1) first
), first_ones AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE q.notification_id IN (SELECT notification_id FROM waiting WHERE place <= most) AND q.state = 'waiting'
   ORDER BY q.notification_id FOR UPDATE
), told AS (
  UPDATE queue_entry q SET {DUE}
    FROM first_ones WHERE q.notification_id = first_ones.notification_id RETURNING q.notification_id
), begun AS (
  UPDATE throttle_window w SET starts_at = now(), ends_at = now() + make_interval(secs => o.per), used = 0,
         awaited = EXISTS (SELECT 1 FROM waiting x WHERE x.tenant = w.tenant AND x.key = w.key AND x.place > o.most)
    FROM over o WHERE w.tenant = o.tenant AND w.key = o.key RETURNING 1
)
SELECT (SELECT count(*) FROM begun), (SELECT max(pg_notify(:channel, :due)::text) FROM told)
""")  # noqa: S608 - a constant of our own
NEXT = text("SELECT extract(epoch FROM min(ends_at) - clock_timestamp()) FROM throttle_window WHERE awaited")
# In the order of the primary key, a part of the table at a time: slots and places of notifications that have ended, or
# of an earlier generation. What is open keeps its slot, however often it asks again.
PRUNE = text("""
WITH part AS (
  SELECT notification_id, generation, key FROM throttle_turn
   WHERE notification_id > :after ORDER BY notification_id LIMIT :limit
), gone AS (
  DELETE FROM throttle_turn t USING part, notification n
   WHERE t.notification_id = part.notification_id AND t.generation = part.generation AND t.key = part.key
     AND n.id = t.notification_id AND (n.finished_at IS NOT NULL OR n.generation <> t.generation)
  RETURNING 1
)
SELECT (SELECT count(*) FROM part) AS looked_at, (SELECT count(*) FROM gone) AS pruned,
       (SELECT notification_id FROM part ORDER BY notification_id DESC LIMIT 1) AS last
""")
FORGET = text("""
DELETE FROM throttle_window WHERE (tenant, key) IN (
  SELECT tenant, key FROM throttle_window WHERE NOT awaited AND ends_at < now() - interval '1 hour'
   ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING 1
""")


async def roll(session: AsyncSession, limit: int) -> int:
    """How many windows were begun for those who wait."""
    over = (await session.execute(OVER, {"limit": limit})).all()
    if not over:
        return 0
    values = {"tenants": [row.tenant for row in over], "keys": [row.key for row in over]}
    begun = await session.execute(ROLL, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE})
    return int(begun.one()[0])


async def seconds_to_next(session: Executor) -> float | None:
    """Until a window is over that somebody waits for; None: nobody does."""
    left = (await session.execute(NEXT)).scalar_one()
    return None if left is None else max(0.0, float(left))


async def forget(session: Executor, limit: int) -> None:
    """Delete windows that are long over: the next one begins without them."""
    await note_pruned(session, "throttle_window", len((await session.execute(FORGET, {"limit": limit})).all()))


async def prune(session: Executor, after: UUID, limit: int) -> tuple[UUID | None, int]:
    """Look at up to `limit` slots and places of notifications behind `after`, and delete those of ended ones. Return
    the last notification, None at the end of the table, and how many rows were deleted."""
    row = (await session.execute(PRUNE, {"after": after, "limit": limit})).mappings().one()
    await note_pruned(session, "throttle_turn", row["pruned"])
    return (row["last"] if row["looked_at"] == limit else None), row["pruned"]
