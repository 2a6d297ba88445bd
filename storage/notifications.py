"""Reads notifications: one in full, or a page of those that a search finds. Always within one tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from domain.waits import NO_WAITS, NotificationWaits
from models.digests import Digest
from models.notifications import Attempt, Delivery, Event, Notification
from models.queue import QueueEntry
from storage import waits


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


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationSearch:
    """`text` are words of the content, in the syntax of web searches."""

    recipient_id: str | None = None
    notification_type: str | None = None
    status: str | None = None
    channel: str | None = None
    tag: str | None = None
    cancel_key: str | None = None
    text: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    digest_id: UUID | None = None


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
        waits=(await waits.read_waits(session, tenant, [id], now)).get(id, NO_WAITS) if is_open else NO_WAITS,
    )


async def search(
    session: AsyncSession, tenant: UUID, criteria: NotificationSearch, *, before: UUID | None, limit: int
) -> Sequence[Notification]:
    """Newest first; `before` is the last id of the page before."""
    return (await session.execute(build_search(tenant, criteria, before=before, limit=limit))).scalars().all()


def build_search(
    tenant: UUID, criteria: NotificationSearch, *, before: UUID | None, limit: int
) -> SelectOfScalar[Notification]:
    statement = select(Notification).where(col(Notification.tenant) == tenant, *_conditions(criteria))
    if before is not None:
        statement = statement.where(col(Notification.id) < before)
    return statement.order_by(col(Notification.id).desc()).limit(limit)


def _conditions(criteria: NotificationSearch) -> list[ColumnElement[bool]]:
    equal = {
        Notification.recipient_id: criteria.recipient_id,
        Notification.notification_type: criteria.notification_type,
        Notification.status: criteria.status,
        Notification.digest_id: criteria.digest_id,
        Notification.cancel_key: criteria.cancel_key,
    }
    conditions = [col(column) == value for column, value in equal.items() if value is not None]
    if criteria.tag is not None:
        conditions.append(col(Notification.tags).contains([criteria.tag]))
    if criteria.created_from is not None:
        conditions.append(col(Notification.created_at) >= criteria.created_from)
    if criteria.created_before is not None:
        conditions.append(col(Notification.created_at) < criteria.created_before)
    return conditions + _delivery_conditions(criteria)


# As in the index on `delivery`.
CONTENT_WORDS: ColumnElement[str] = literal_column("content_words(delivery.rendered_content)")


def _delivery_conditions(criteria: NotificationSearch) -> list[ColumnElement[bool]]:
    found = []
    if criteria.channel is not None:
        found.append(col(Delivery.channel) == criteria.channel)
    if criteria.text is not None:
        found.append(
            CONTENT_WORDS.op("@@")(func.websearch_to_tsquery(literal_column("'simple'::regconfig"), criteria.text))
        )
    if not found:
        return []
    same = (col(Delivery.notification_id) == col(Notification.id), col(Delivery.tenant) == col(Notification.tenant))
    return [select(Delivery.id).where(*same, *found).correlate(Notification).exists()]
