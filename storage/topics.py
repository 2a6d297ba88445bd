"""Who is subscribed to what a tenant calls a topic. A topic is there as long as it has subscribers."""

from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import schedule_turns

PERSON = text(
    "SELECT 1 FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id FOR KEY SHARE",
)
ADD = text("""
INSERT INTO topic_subscriber (tenant, topic, recipient_id, created_at) VALUES (:tenant, :topic, :recipient_id, now())
ON CONFLICT DO NOTHING
""")
REMOVE = text("DELETE FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id = :recipient_id")
LISTED = text("""
SELECT topic, count(*) FROM topic_subscriber WHERE tenant = :tenant AND topic > :after
 GROUP BY topic ORDER BY topic LIMIT :limit
""")
SUBSCRIBERS = text("""
SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id > :after
 ORDER BY recipient_id LIMIT :limit
""")


async def subscribe(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> bool:
    """False: there is no such person. Subscribed once, however often."""
    values = {"tenant": tenant, "topic": topic, "recipient_id": recipient_id}
    if (await session.execute(PERSON, values)).scalar_one_or_none() is None:
        return False
    await schedule_turns.share_topic(session, tenant, topic)
    if _written(await session.execute(ADD, values)):
        await schedule_turns.subscribed(session, tenant, topic, recipient_id)
    return True


async def unsubscribe(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> bool:
    """False: they were not subscribed."""
    removed = _written(await session.execute(REMOVE, {"tenant": tenant, "topic": topic, "recipient_id": recipient_id}))
    if removed:
        await schedule_turns.unsubscribed(session, tenant, topic, recipient_id)
    return removed


async def listed(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[tuple[str, int]]:
    """Topics by key with how many are subscribed, those after the key `after`."""
    rows = await session.execute(LISTED, {"tenant": tenant, "after": after or "", "limit": limit})
    return [(topic, count) for topic, count in rows]


async def subscribers(session: AsyncSession, tenant: UUID, topic: str, after: str | None, limit: int) -> list[str]:
    """Ids in their order, those after `after`."""
    values = {"tenant": tenant, "topic": topic, "after": after or "", "limit": limit}
    return list((await session.execute(SUBSCRIBERS, values)).scalars())


def _written(result: Any) -> bool:
    return cast(CursorResult[Any], result).rowcount > 0
