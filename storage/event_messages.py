"""List, replay, give up and delete the messages of event endpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.cursors import Cursor
from domain.event_webhooks import MESSAGE_RETENTION, TEST_EVENT
from domain.names import EVENTS_CHANNEL
from models.event_webhooks import EventMessage
from storage.retention import record_pruned
from storage.statements import notify, statement

# At once: more would be a long statement. Per second: so that a receiver that has just come back bears it.
MAX_REPLAYED = 10_000


class EventMessageStatus(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


STATUS_CONDITIONS: dict[EventMessageStatus, tuple[ColumnElement[bool], ...]] = {
    EventMessageStatus.WAITING: (col(EventMessage.next_attempt_at).is_not(None),),
    EventMessageStatus.DELIVERED: (
        col(EventMessage.next_attempt_at).is_(None),
        col(EventMessage.delivered_at).is_not(None),
    ),
    EventMessageStatus.FAILED: (col(EventMessage.given_up_at).is_not(None),),
}


def status_of(message: EventMessage) -> EventMessageStatus:
    """Return the status. A message that was delivered once stays delivered, whatever the result of a replay."""
    if message.next_attempt_at is not None:
        return EventMessageStatus.WAITING
    return EventMessageStatus.DELIVERED if message.delivered_at is not None else EventMessageStatus.FAILED


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayResult:
    """`through` is when the last of them occurred; `more`: not all of the time that was asked for."""

    count: int
    through: datetime | None
    more: bool


REPLAY_ONE = statement("event_messages/replay_one")

# Replayed messages are due one after the other, behind an earlier replay. New messages are due now, and precede them.
REPLAY = statement("event_messages/replay")


async def list_page(
    session: AsyncSession, endpoint_id: UUID, status: EventMessageStatus | None, *, before: Cursor | None, limit: int
) -> Sequence[EventMessage]:
    """Newest first; `before` is the time and id of the last one of the page above."""
    query = select(EventMessage).where(EventMessage.endpoint_id == endpoint_id)
    if status is not None:
        query = query.where(*STATUS_CONDITIONS[status])
    position = (col(EventMessage.occurred_at), col(EventMessage.id))
    if before is not None:
        query = query.where(tuple_(*position) < before)
    query = query.order_by(*(column.desc() for column in position)).limit(limit)
    return (await session.execute(query)).scalars().all()


async def replay_one(session: AsyncSession, endpoint_id: UUID, id: UUID) -> bool:
    """Make a message due again. Return False if the endpoint has no message with this id."""
    query = await session.execute(REPLAY_ONE, {"id": id, "endpoint_id": endpoint_id})
    await notify(session, EVENTS_CHANNEL)
    return query.scalar_one_or_none() is not None


async def replay_since(
    session: AsyncSession, endpoint_id: UUID, since: datetime, until: datetime | None, *, all: bool
) -> ReplayResult:
    """Replay the failed messages of the range, or `all`, oldest first. Messages that are already waiting do not
    change."""
    values = {
        "endpoint_id": endpoint_id,
        "since": since,
        "until": until,
        "all": all,
        "test": TEST_EVENT,
        "limit": MAX_REPLAYED,
    }
    count, through = (await session.execute(REPLAY, values)).one()
    await notify(session, EVENTS_CHANNEL)
    return ReplayResult(count=count, through=through, more=count == MAX_REPLAYED)


# They fell due while their endpoint was disabled; a replay sends them.
GIVE_UP_DISABLED = statement("event_messages/give_up_disabled")

DELETE_OLD_MESSAGES = statement("event_messages/delete_old_messages")

# After a while, so that no transaction that still saw it can write one more message to it.
DELETE_ENDPOINTS = text("""
DELETE FROM event_endpoint p WHERE deleted_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM event_message WHERE endpoint_id = p.id)
""")


async def prune(session: AsyncSession) -> int:
    """Give up and delete old messages, at most AT_ONCE of each at a time. Return how many."""
    given_up = (await session.execute(GIVE_UP_DISABLED)).scalar_one_or_none()
    pruned = (await session.execute(DELETE_OLD_MESSAGES, {"days": MESSAGE_RETENTION.days})).scalar_one_or_none() or 0
    await session.execute(DELETE_ENDPOINTS)
    await record_pruned(session, "event_message", pruned)
    return (given_up or 0) + pruned
