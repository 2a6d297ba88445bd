"""Release of held deliveries that nothing holds any more. Called by `dispatch/signals.py`.

Deliveries with the same `held_for` (channel, notification type, providers) are held by the same pauses and circuits. So
a batch looks at each cause once, however many deliveries wait for it.
"""

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from models.notifications import HELD_AND_WAITING, HELD_TO_PREPARE
from storage.queue_entries import DUE
from storage.statements import Executor

LEASE_SECONDS = 12
# How many deliveries a batch looks at per priority, at least one of each cause and tenant.
LOOKED_AT = 1_000

# None of the names contains a space. The providers are sorted.
HELD_FOR = "concat({channel}, ' ', {type}, ' ', array_to_string({providers}, ','))"
PROVIDERS = "unnest(string_to_array(split_part(held_for, ' ', 3), ',')) AS p(name)"

# Released before, but no attempt has begun; or held by an earlier version of this code.
PREPARE = text(f"""
WITH old AS (
  SELECT id FROM (
    SELECT id FROM delivery WHERE {HELD_TO_PREPARE} AND release_at <= now()
     ORDER BY release_at LIMIT :limit FOR UPDATE SKIP LOCKED) expired
   UNION ALL
  SELECT id FROM (
    SELECT id FROM delivery WHERE {HELD_TO_PREPARE} AND release_at IS NULL LIMIT :limit FOR UPDATE SKIP LOCKED) unnamed
)
UPDATE delivery d SET release_at = NULL,
       held_for = {HELD_FOR.format(channel="d.channel", type="n.notification_type", providers="d.held_providers")}
  FROM old, notification n WHERE d.id = old.id AND n.id = d.notification_id
""")  # noqa: S608 - constants of our own

# `{whose}` are the pauses that are looked at: those of all tenants, or those of one.
FREE = f"""
NOT EXISTS (SELECT 1 FROM paused h WHERE {{whose}}
   AND (h.kind = 'tenant' OR (h.kind = 'channel' AND h.name = split_part(held_for, ' ', 1))
     OR (h.kind = 'type' AND h.name = split_part(held_for, ' ', 2))))
AND EXISTS (SELECT 1 FROM {PROVIDERS} WHERE p.name NOT IN (SELECT provider FROM down) AND NOT EXISTS (
   SELECT 1 FROM paused h WHERE {{whose}} AND h.kind = 'provider' AND h.name = p.name))
"""  # noqa: S608 - constants of our own

# The most urgent first, and tenants in turn. Whatever holds them, one provider that may be asked is enough; of a
# half-open circuit the guard says which few may try. Their entries become due: a worker process claims them like any
# other. `held_at` goes with the next attempt. If it does not come to one, they wait again after a while.
RELEASE = text(f"""
WITH RECURSIVE paused AS MATERIALIZED (
  SELECT tenant, kind, name FROM hold
), down AS MATERIALIZED (
  SELECT provider FROM provider_health
   WHERE NOT (state = 'closed' OR probes > 0) OR quiet_until > now()
), cause AS (
  (SELECT held_priority, held_for FROM delivery WHERE {HELD_AND_WAITING} ORDER BY held_priority, held_for LIMIT 1)
   UNION ALL
  SELECT later.* FROM cause CROSS JOIN LATERAL (
    SELECT held_priority, held_for FROM delivery
     WHERE {HELD_AND_WAITING} AND (held_priority, held_for) > (cause.held_priority, cause.held_for)
     ORDER BY held_priority, held_for LIMIT 1) later
), free_cause AS MATERIALIZED (
  SELECT held_priority, held_for FROM cause WHERE {FREE.format(whose="h.tenant IS NULL")}
), whose AS (
  SELECT free_cause.*, first.tenant FROM free_cause CROSS JOIN LATERAL (
    SELECT tenant FROM delivery d
     WHERE {HELD_AND_WAITING} AND d.held_priority = free_cause.held_priority AND d.held_for = free_cause.held_for
     ORDER BY tenant LIMIT 1) first
   UNION ALL
  SELECT whose.held_priority, whose.held_for, later.tenant FROM whose CROSS JOIN LATERAL (
    SELECT tenant FROM delivery d
     WHERE {HELD_AND_WAITING} AND d.held_priority = whose.held_priority AND d.held_for = whose.held_for
       AND d.tenant > whose.tenant ORDER BY tenant LIMIT 1) later
), free AS MATERIALIZED (
  SELECT *, count(*) OVER (PARTITION BY held_priority) AS sharing FROM whose
   WHERE {FREE.format(whose="(h.tenant IS NULL OR h.tenant = whose.tenant)")}
), offered AS (
  SELECT id FROM (
    SELECT mine.id, free.held_priority, free.tenant,
           row_number() OVER (PARTITION BY free.tenant, free.held_priority ORDER BY mine.held_at) AS turn
      FROM free CROSS JOIN LATERAL (
        SELECT d.id, d.held_at FROM delivery d
         WHERE {HELD_AND_WAITING} AND d.held_priority = free.held_priority AND d.held_for = free.held_for
           AND d.tenant = free.tenant
         ORDER BY d.held_at LIMIT least(:limit, {LOOKED_AT} / free.sharing + 1) FOR UPDATE SKIP LOCKED) mine) own
   ORDER BY held_priority, turn, tenant LIMIT :limit
), released AS (
  UPDATE delivery d SET release_at = now() + make_interval(secs => {LEASE_SECONDS}),
         held_at = CASE WHEN n.finished_at IS NULL THEN d.held_at END
    FROM offered, notification n WHERE d.id = offered.id AND n.id = d.notification_id
  RETURNING d.notification_id, d.generation
), entry AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE (q.notification_id, q.generation) IN (SELECT notification_id, generation FROM released)
     AND q.state IN ('started', 'waiting') FOR UPDATE SKIP LOCKED
), due AS (
  UPDATE queue_entry q SET {DUE} FROM entry WHERE q.notification_id = entry.notification_id RETURNING 1
)
SELECT (SELECT count(*) FROM released), (SELECT max(pg_notify(:channel, :due)::text) FROM due)
""")  # noqa: S608 - constants of our own


async def release(session: Executor, limit: int) -> int:
    """Make due what nothing holds any more, at most `limit` deliveries. Return how many."""
    await session.execute(PREPARE, {"limit": max(limit, LOOKED_AT)})
    values = {"limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return int((await session.execute(RELEASE, values)).one()[0])
