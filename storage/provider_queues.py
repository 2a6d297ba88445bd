"""How many notifications wait in Temporal for the rate of a provider, and which ones wait in Postgres meanwhile.

Few wait in Temporal: there nothing overtakes them but by priority, and they cannot be rerouted before their turn.
"""

from collections.abc import Sequence

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from models.queue import WAITS_FOR_ROOM
from storage.queue_entries import DUE
from storage.statements import Executor

MOST = 60
# Of a provider whose queue has not moved for so many seconds only a few more are queued.
STALE_AFTER = 30.0
MOST_OF_STALE = 5

ROOM = f"""
SELECT CASE WHEN min(queued_at) < now() - make_interval(secs => {STALE_AFTER}) THEN {MOST_OF_STALE} ELSE {MOST} END
       - count(*) FROM (SELECT queued_at FROM queue_entry WHERE queued_for = :provider LIMIT {MOST}) queued
"""  # noqa: S608 - constants of our own
HAS_ROOM = text(ROOM)
WAITING = f"{WAITS_FOR_ROOM} AND busy_provider = :provider"
LET_IN = text(f"""
WITH RECURSIVE room AS MATERIALIZED (
  SELECT GREATEST(0, ({ROOM})) AS free
), whose AS (
  (SELECT priority, tenant FROM queue_entry WHERE {WAITING} AND (SELECT free FROM room) > 0
    ORDER BY priority, tenant LIMIT 1)
   UNION ALL
  SELECT later.* FROM whose CROSS JOIN LATERAL (
    SELECT priority, tenant FROM queue_entry
     WHERE {WAITING} AND (priority, tenant) > (whose.priority, whose.tenant) ORDER BY priority, tenant LIMIT 1) later
), sharing AS MATERIALIZED (
  SELECT priority, tenant, count(*) OVER (PARTITION BY priority) AS tenants FROM whose
), first_few AS (
  SELECT own.notification_id FROM sharing CROSS JOIN LATERAL (
    SELECT notification_id, row_number() OVER () AS turn FROM (
      SELECT notification_id FROM queue_entry q
       WHERE {WAITING} AND q.priority = sharing.priority AND q.tenant = sharing.tenant
       ORDER BY notification_id LIMIT (SELECT free FROM room) / tenants + 1 FOR UPDATE SKIP LOCKED) mine) own
   ORDER BY sharing.priority, own.turn, random() LIMIT (SELECT free FROM room)
), due AS (
  UPDATE queue_entry q SET {DUE} FROM first_few WHERE q.notification_id = first_few.notification_id RETURNING 1
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM due
""")  # noqa: S608 - constants of our own


WAITED_FOR = text(f"""
SELECT name FROM unnest(CAST(:names AS text[])) AS provider(name)
 WHERE EXISTS (SELECT 1 FROM queue_entry WHERE {WAITS_FOR_ROOM} AND busy_provider = name)
""")  # noqa: S608 - a constant of our own


async def has_room(session: Executor, provider: str) -> bool:
    """Whether another call may wait in the provider's own queue."""
    return int((await session.execute(HAS_ROOM, {"provider": provider})).scalar_one()) > 0


async def waited_for(session: Executor, providers: Sequence[str]) -> list[str]:
    """Return those of the providers that something waits for."""
    return list((await session.execute(WAITED_FOR, {"names": list(providers)})).scalars())


async def let_in(session: Executor, provider: str) -> int:
    """Make due as many as there is room for: the most urgent first, and of those the tenants in turn. Return how
    many."""
    values = {"provider": provider, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return int((await session.execute(LET_IN, values)).one()[0])
