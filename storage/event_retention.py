"""What becomes of event messages that nobody posts: given up with their endpoint, and deleted when they are old."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.event_webhooks import KEPT_FOR
from metrics.engine import Pruned, rows_pruned
from storage.event_outbox import DISABLED_MEANWHILE

# They fell due while their endpoint was disabled; a replay sends them.
PARK = text(f"""
WITH parked AS (
  UPDATE event_message m SET next_try_at = NULL, last_error = '{DISABLED_MEANWHILE}',
         given_up_at = CASE WHEN m.delivered_at IS NULL THEN now() END
    FROM event_endpoint p CROSS JOIN LATERAL (
      SELECT id FROM event_message WHERE endpoint_id = p.id AND next_try_at <= now()
       ORDER BY next_try_at LIMIT 1000 FOR UPDATE SKIP LOCKED) due
   WHERE NOT p.enabled AND p.deleted_at IS NULL AND m.id = due.id RETURNING 1
)
SELECT count(*) FROM parked HAVING count(*) > 0
""")  # noqa: S608 - constants of our own

PRUNE = text(f"""
WITH pruned AS (
  DELETE FROM event_message m USING event_endpoint p CROSS JOIN LATERAL (
      SELECT id FROM event_message
       WHERE endpoint_id = p.id
         AND occurred_at < CASE WHEN p.deleted_at IS NULL THEN now() - interval '{KEPT_FOR.days} days'
                                ELSE 'infinity' END
       ORDER BY occurred_at LIMIT 1000) old
   WHERE m.id = old.id AND (m.next_try_at IS NULL OR p.deleted_at IS NOT NULL) RETURNING 1
)
SELECT count(*) FROM pruned HAVING count(*) > 0
""")  # noqa: S608

# After a while, so that no transaction that still saw it can write one more message to it.
FORGET = text("""
DELETE FROM event_endpoint p WHERE deleted_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM event_message WHERE endpoint_id = p.id)
""")


async def tidy(session: AsyncSession) -> int:
    """How many messages were given up or deleted; a bounded number per endpoint at a time."""
    parked = (await session.execute(PARK)).scalar_one_or_none()
    pruned = (await session.execute(PRUNE)).scalar_one_or_none()
    rows_pruned(Pruned.EVENT_MESSAGE, pruned or 0)
    await session.execute(FORGET)
    return (parked or 0) + (pruned or 0)
