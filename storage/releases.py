"""Release of held deliveries that nothing holds any more. Called by `dispatch/signals.py`.

Deliveries with the same `hold_key` (channel, notification type, providers) are held by the same pauses and circuits. So
a batch looks at each cause once, however many deliveries wait for it.
"""

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from models.notifications import IS_HELD, IS_RELEASED
from storage.queue_entries import SET_DUE
from storage.statements import Executor

LEASE_SECONDS = 12
# How many deliveries a batch looks at per priority, at least one of each cause and tenant.
MAX_EXAMINED = 1_000

# None of the names contains a space. The providers are sorted.
HOLD_KEY = "concat({channel}, ' ', {type}, ' ', array_to_string({providers}, ','))"
HOLD_KEY_PROVIDERS = "unnest(string_to_array(split_part(hold_key, ' ', 3), ',')) AS p(name)"

# Deliveries that were released and whose next attempt has not begun in time.
RESET_RELEASED = text(f"""
WITH expired AS (
  SELECT id FROM delivery WHERE {IS_RELEASED} AND release_expires_at <= now()
   ORDER BY release_expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE delivery d SET release_expires_at = NULL FROM expired WHERE d.id = expired.id
""")  # noqa: S608 - a constant of our own

# `{tenants}` are the pauses that are looked at: those of all tenants, or those of one.
IS_FREE = f"""
NOT EXISTS (SELECT 1 FROM paused h WHERE {{tenants}}
   AND (h.kind = 'tenant' OR (h.kind = 'channel' AND h.name = split_part(hold_key, ' ', 1))
     OR (h.kind = 'type' AND h.name = split_part(hold_key, ' ', 2))))
AND EXISTS (SELECT 1 FROM {HOLD_KEY_PROVIDERS} WHERE p.name NOT IN (SELECT provider FROM down) AND NOT EXISTS (
   SELECT 1 FROM paused h WHERE {{tenants}} AND h.kind = 'provider' AND h.name = p.name))
"""  # noqa: S608 - constants of our own

# By priority and round-robin among tenants. One available provider is enough, whatever holds the delivery; the guard
# limits the probes of a half-open circuit. The entries become due, and a worker process claims them. The next attempt
# clears `held_at`. Without an attempt they wait again after `release_expires_at`.
RELEASE_HELD = text(f"""
WITH RECURSIVE paused AS MATERIALIZED (
  SELECT tenant, kind, name FROM hold
), down AS MATERIALIZED (
  SELECT provider FROM provider_health
   WHERE NOT (state = 'closed' OR probes > 0) OR throttled_until > now()
), cause AS (
  (SELECT held_priority, hold_key FROM delivery WHERE {IS_HELD} ORDER BY held_priority, hold_key LIMIT 1)
   UNION ALL
  SELECT later.* FROM cause CROSS JOIN LATERAL (
    SELECT held_priority, hold_key FROM delivery
     WHERE {IS_HELD} AND (held_priority, hold_key) > (cause.held_priority, cause.hold_key)
     ORDER BY held_priority, hold_key LIMIT 1) later
), free_cause AS MATERIALIZED (
  SELECT held_priority, hold_key FROM cause WHERE {IS_FREE.format(tenants="h.tenant IS NULL")}
), tenants AS (
  SELECT free_cause.*, first.tenant FROM free_cause CROSS JOIN LATERAL (
    SELECT tenant FROM delivery d
     WHERE {IS_HELD} AND d.held_priority = free_cause.held_priority AND d.hold_key = free_cause.hold_key
     ORDER BY tenant LIMIT 1) first
   UNION ALL
  SELECT tenants.held_priority, tenants.hold_key, later.tenant FROM tenants CROSS JOIN LATERAL (
    SELECT tenant FROM delivery d
     WHERE {IS_HELD} AND d.held_priority = tenants.held_priority AND d.hold_key = tenants.hold_key
       AND d.tenant > tenants.tenant ORDER BY tenant LIMIT 1) later
), free AS MATERIALIZED (
  SELECT *, count(*) OVER (PARTITION BY held_priority) AS tenant_count FROM tenants
   WHERE {IS_FREE.format(tenants="(h.tenant IS NULL OR h.tenant = tenants.tenant)")}
), offered AS (
  SELECT id FROM (
    SELECT mine.id, free.held_priority, free.tenant,
           row_number() OVER (PARTITION BY free.tenant, free.held_priority ORDER BY mine.held_at) AS turn
      FROM free CROSS JOIN LATERAL (
        SELECT d.id, d.held_at FROM delivery d
         WHERE {IS_HELD} AND d.held_priority = free.held_priority AND d.hold_key = free.hold_key
           AND d.tenant = free.tenant
         ORDER BY d.held_at LIMIT least(:limit, {MAX_EXAMINED} / free.tenant_count + 1) FOR UPDATE SKIP LOCKED) mine)
         own
   ORDER BY held_priority, turn, tenant LIMIT :limit
), released AS (
  UPDATE delivery d SET release_expires_at = now() + make_interval(secs => {LEASE_SECONDS}),
         held_at = CASE WHEN n.finished_at IS NULL THEN d.held_at END
    FROM offered, notification n WHERE d.id = offered.id AND n.id = d.notification_id
  RETURNING d.notification_id, d.generation
), entry AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE (q.notification_id, q.generation) IN (SELECT notification_id, generation FROM released)
     AND q.state IN ('started', 'waiting') FOR UPDATE SKIP LOCKED
), due AS (
  UPDATE queue_entry q SET {SET_DUE} FROM entry WHERE q.notification_id = entry.notification_id RETURNING 1
)
SELECT (SELECT count(*) FROM released), (SELECT max(pg_notify(:channel, :due)::text) FROM due)
""")  # noqa: S608 - constants of our own


async def release_held(session: Executor, limit: int) -> int:
    """Make due what nothing holds any more, at most `limit` deliveries. Return how many."""
    await session.execute(RESET_RELEASED, {"limit": max(limit, MAX_EXAMINED)})
    values = {"limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return int((await session.execute(RELEASE_HELD, values)).one()[0])
