"""What becomes of event messages that nobody posts: given up with their endpoint, and deleted when they are old."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.event_webhooks import KEPT_FOR
from storage.event_outbox import DISABLED_MEANWHILE
from storage.pruned_counts import note_pruned

AT_ONCE = 1000
# They fell due while their endpoint was disabled; a replay sends them.
PARK = text(f"""
WITH parked AS (
  UPDATE event_message m SET next_try_at = NULL, last_error = '{DISABLED_MEANWHILE}',
         given_up_at = CASE WHEN m.delivered_at IS NULL THEN now() END
    FROM (
      SELECT due.id FROM event_endpoint p CROSS JOIN LATERAL (
        SELECT id FROM event_message WHERE endpoint_id = p.id AND next_try_at <= now()
         ORDER BY next_try_at LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED) due
       WHERE NOT p.enabled AND p.deleted_at IS NULL LIMIT {AT_ONCE}) due
   WHERE m.id = due.id RETURNING 1
)
SELECT count(*) FROM parked HAVING count(*) > 0
""")  # noqa: S608 - constants of our own

PRUNE = text(f"""
WITH pruned AS (
  DELETE FROM event_message m USING (
      SELECT old.id FROM event_endpoint p CROSS JOIN LATERAL (
        SELECT id FROM event_message
         WHERE endpoint_id = p.id AND (next_try_at IS NULL OR p.deleted_at IS NOT NULL)
           AND occurred_at < CASE WHEN p.deleted_at IS NULL THEN now() - interval '{KEPT_FOR.days} days'
                                  ELSE 'infinity' END
         ORDER BY occurred_at LIMIT {AT_ONCE}) old
       LIMIT {AT_ONCE}) old
   WHERE m.id = old.id RETURNING 1
)
SELECT count(*) FROM pruned HAVING count(*) > 0
""")  # noqa: S608

# After a while, so that no transaction that still saw it can write one more message to it.
FORGET = text("""
DELETE FROM event_endpoint p WHERE deleted_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM event_message WHERE endpoint_id = p.id)
""")


async def tidy(session: AsyncSession) -> int:
    """How many messages were given up or deleted; at most AT_ONCE of each at a time."""
    parked = (await session.execute(PARK)).scalar_one_or_none()
    pruned = (await session.execute(PRUNE)).scalar_one_or_none() or 0
    await session.execute(FORGET)
    await note_pruned(session, "event_message", pruned)
    return (parked or 0) + pruned
