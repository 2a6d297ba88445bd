"""Give up the messages of disabled event endpoints, and delete old messages."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.event_webhooks import MESSAGE_RETENTION
from storage.pruned_counts import record_pruned
from storage.statements import statement

# They fell due while their endpoint was disabled; a replay sends them.
GIVE_UP_DISABLED = statement("event_messages/give_up_disabled")

DELETE_OLD_MESSAGES = statement("event_messages/delete_old_messages")

# After a while, so that no transaction that still saw it can write one more message to it.
DELETE_ENDPOINTS = text("""
DELETE FROM event_endpoint p WHERE deleted_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM event_message WHERE endpoint_id = p.id)
""")


async def prune(session: AsyncSession) -> int:
    """How many messages were given up or deleted; at most AT_ONCE of each at a time."""
    given_up = (await session.execute(GIVE_UP_DISABLED)).scalar_one_or_none()
    pruned = (await session.execute(DELETE_OLD_MESSAGES, {"days": MESSAGE_RETENTION.days})).scalar_one_or_none() or 0
    await session.execute(DELETE_ENDPOINTS)
    await record_pruned(session, "event_message", pruned)
    return (given_up or 0) + pruned
