"""Who is subscribed to what a tenant calls a topic. A topic is there as long as it has subscribers."""

from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import schedule_occurrences

LOCK_RECIPIENT = text(
    "SELECT 1 FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id FOR KEY SHARE",
)
ADD_SUBSCRIBER = text("""
INSERT INTO topic_subscriber (tenant, topic, recipient_id, created_at) VALUES (:tenant, :topic, :recipient_id, now())
ON CONFLICT DO NOTHING
""")
REMOVE_SUBSCRIBER = text(
    "DELETE FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id = :recipient_id"
)
SELECT_TOPICS = text("""
SELECT topic, count(*) FROM topic_subscriber WHERE tenant = :tenant AND topic > :after
 GROUP BY topic ORDER BY topic LIMIT :limit
""")
SELECT_SUBSCRIBERS = text("""
SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id > :after
 ORDER BY recipient_id LIMIT :limit
""")


async def subscribe(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> bool:
    """False: there is no such person. Subscribed once, however often."""
    values = {"tenant": tenant, "topic": topic, "recipient_id": recipient_id}
    if (await session.execute(LOCK_RECIPIENT, values)).scalar_one_or_none() is None:
        return False
    await schedule_occurrences.lock_topic_shared(session, tenant, topic)
    if _has_changed_rows(await session.execute(ADD_SUBSCRIBER, values)):
        await schedule_occurrences.add_subscriber(session, tenant, topic, recipient_id)
    return True


async def unsubscribe(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> bool:
    """False: they were not subscribed."""
    removed = _has_changed_rows(
        await session.execute(REMOVE_SUBSCRIBER, {"tenant": tenant, "topic": topic, "recipient_id": recipient_id})
    )
    if removed:
        await schedule_occurrences.remove_subscriber(session, tenant, topic, recipient_id)
    return removed


async def list_topics(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[tuple[str, int]]:
    """Return topics by key after `after`, with the number of subscribers."""
    rows = await session.execute(SELECT_TOPICS, {"tenant": tenant, "after": after or "", "limit": limit})
    return [(topic, count) for topic, count in rows]


async def list_subscribers(session: AsyncSession, tenant: UUID, topic: str, after: str | None, limit: int) -> list[str]:
    """Return the ids after `after`, in order."""
    values = {"tenant": tenant, "topic": topic, "after": after or "", "limit": limit}
    return list((await session.execute(SELECT_SUBSCRIBERS, values)).scalars())


def _has_changed_rows(result: Any) -> bool:
    return cast(CursorResult[Any], result).rowcount > 0
