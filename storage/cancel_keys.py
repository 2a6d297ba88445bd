"""Open notifications by the key that cancels them. Called by the route that cancels several at once."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from models.notifications import Notification


async def find_open_by_cancel_key(
    session: AsyncSession, tenant: UUID, cancel_key: str, recipient_id: str | None, limit: int
) -> Sequence[Notification]:
    """Oldest first, without those for which a cancel was requested before."""
    query = select(Notification).where(
        Notification.tenant == tenant,
        Notification.cancel_key == cancel_key,
        col(Notification.finished_at).is_(None),
        col(Notification.cancel_requested_at).is_(None),
    )
    if recipient_id is not None:
        query = query.where(Notification.recipient_id == recipient_id)
    return (await session.execute(query.order_by(col(Notification.id)).limit(limit))).scalars().all()
