"""Read notifications of one tenant: one in full, a page of a search, or the open ones with a cancel key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from domain.waits import NO_WAITS, NotificationWaits
from models.digests import Digest
from models.notifications import Attempt, Delivery, Event, Notification
from models.queue import QueueEntry
from storage import gates
from storage.notification_filters import NotificationFilter, build_conditions


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationRecord:
    """`entry` is None once it has ended, and for a member of a digest window."""

    notification: Notification
    entry: QueueEntry | None
    deliveries: Sequence[Delivery]
    attempts: Sequence[Attempt]
    events: Sequence[Event]
    digest: Digest | None
    waits: NotificationWaits


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> Notification | None:
    statement = select(Notification).where(col(Notification.tenant) == tenant, col(Notification.id) == id)
    return (await session.execute(statement)).scalar_one_or_none()


async def read_record(session: AsyncSession, tenant: UUID, id: UUID, now: datetime) -> NotificationRecord | None:
    notification = await find(session, tenant, id)
    if notification is None:
        return None
    is_open = notification.finished_at is None
    deliveries = select(Delivery).where(col(Delivery.notification_id) == id)
    attempts = select(Attempt).where(col(Attempt.notification_id) == id)
    events = select(Event).where(col(Event.notification_id) == id)
    order = (col(Delivery.generation), col(Delivery.step), col(Delivery.created_at), col(Delivery.id))
    return NotificationRecord(
        notification=notification,
        entry=await session.get(QueueEntry, id) if is_open else None,
        deliveries=(await session.execute(deliveries.order_by(*order))).scalars().all(),
        attempts=(await session.execute(attempts.order_by(col(Attempt.started_at)))).scalars().all(),
        events=(await session.execute(events.order_by(col(Event.position)))).scalars().all(),
        digest=await session.get(Digest, notification.digest_id) if notification.digest_id else None,
        waits=(await gates.read_waits(session, tenant, [id], now)).get(id, NO_WAITS) if is_open else NO_WAITS,
    )


async def search(
    session: AsyncSession, tenant: UUID, criteria: NotificationFilter, *, before: UUID | None, limit: int
) -> Sequence[Notification]:
    """Newest first; `before` is the last id of the page before."""
    return (await session.execute(build_search(tenant, criteria, before=before, limit=limit))).scalars().all()


def build_search(
    tenant: UUID, criteria: NotificationFilter, *, before: UUID | None, limit: int
) -> SelectOfScalar[Notification]:
    statement = select(Notification).where(*build_conditions(tenant, criteria))
    if before is not None:
        statement = statement.where(col(Notification.id) < before)
    return statement.order_by(col(Notification.id).desc()).limit(limit)


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
