"""Give up the messages of disabled event endpoints, and delete old messages."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.event_webhooks import MESSAGE_RETENTION
from storage.event_outbox import ENDPOINT_DISABLED
from storage.pruned_counts import record_pruned

BATCH_SIZE = 1000
# They fell due while their endpoint was disabled; a replay sends them.
GIVE_UP_DISABLED = text(f"""
WITH given_up AS (
  UPDATE event_message m SET next_attempt_at = NULL, last_error = '{ENDPOINT_DISABLED}',
         given_up_at = CASE WHEN m.delivered_at IS NULL THEN now() END
    FROM (
      SELECT due.id FROM event_endpoint p CROSS JOIN LATERAL (
        SELECT id FROM event_message WHERE endpoint_id = p.id AND next_attempt_at <= now()
         ORDER BY next_attempt_at LIMIT {BATCH_SIZE} FOR UPDATE SKIP LOCKED) due
       WHERE NOT p.enabled AND p.deleted_at IS NULL LIMIT {BATCH_SIZE}) due
   WHERE m.id = due.id RETURNING 1
)
SELECT count(*) FROM given_up HAVING count(*) > 0
""")  # noqa: S608 - constants of our own

DELETE_OLD_MESSAGES = text(f"""
WITH pruned AS (
  DELETE FROM event_message m USING (
      SELECT old.id FROM event_endpoint p CROSS JOIN LATERAL (
        SELECT id FROM event_message
         WHERE endpoint_id = p.id AND (next_attempt_at IS NULL OR p.deleted_at IS NOT NULL)
           AND occurred_at < CASE WHEN p.deleted_at IS NULL THEN now() - interval '{MESSAGE_RETENTION.days} days'
                                  ELSE 'infinity' END
         ORDER BY occurred_at LIMIT {BATCH_SIZE}) old
       LIMIT {BATCH_SIZE}) old
   WHERE m.id = old.id RETURNING 1
)
SELECT count(*) FROM pruned HAVING count(*) > 0
""")  # noqa: S608

# After a while, so that no transaction that still saw it can write one more message to it.
DELETE_ENDPOINTS = text("""
DELETE FROM event_endpoint p WHERE deleted_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM event_message WHERE endpoint_id = p.id)
""")


async def prune(session: AsyncSession) -> int:
    """How many messages were given up or deleted; at most AT_ONCE of each at a time."""
    given_up = (await session.execute(GIVE_UP_DISABLED)).scalar_one_or_none()
    pruned = (await session.execute(DELETE_OLD_MESSAGES)).scalar_one_or_none() or 0
    await session.execute(DELETE_ENDPOINTS)
    await record_pruned(session, "event_message", pruned)
    return (given_up or 0) + pruned
