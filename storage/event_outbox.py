"""Messages to event endpoints: claim those that are due, record the result of an attempt, list, replay and delete them.

A claim is a lease: no lock outlives a call. The statement that writes status events inserts their messages, so that
both exist or neither does.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.cursors import Cursor
from domain.event_webhooks import MESSAGE_RETENTION, TEST_EVENT
from domain.json_types import Json
from domain.names import EVENTS_CHANNEL
from models.event_webhooks import EventMessage
from storage.database import to_json
from storage.encryption import DecryptionError, Encryption, encryption_of
from storage.event_endpoints import secret_owner_of
from storage.retention import record_pruned
from storage.statements import Executor, notify, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class DuePost:
    """Describe one attempt. `secrets` sign it. `lease` is the value that the claim gave `next_attempt_at`. `unreadable`
    is why the secrets of its endpoint cannot be decrypted."""

    id: UUID
    tenant: UUID
    endpoint_id: UUID
    failing: bool
    url: str = field(repr=False)
    body: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    attempt_count: int
    lease: datetime
    unreadable: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConcurrencyLimits:
    """Limit concurrent posts: in total, per tenant, per endpoint, and to failing endpoints together. A failing endpoint
    gets one post at a time, so that failing endpoints leave capacity for the others."""

    max_total: int = 64
    of_tenant: int = 16
    max_per_endpoint: int = 8
    failing: int = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class PostResult:
    """Hold the result of one POST. `error` is None if the receiver accepted it. `is_gone`: it responded with 410."""

    at: datetime
    status: int | None
    ms: int
    error: str | None
    retry_after: timedelta | None = None
    is_gone: bool = False


# Also of endpoints that are disabled: their messages are given up within a minute, and a claim skips them until then.
SELECT_NEXT_DUE = text(
    "SELECT extract(epoch FROM min(next_attempt_at) - now()) FROM event_message WHERE next_attempt_at IS NOT NULL"
)

# Round-robin among tenants, fewer posts in flight first; healthy endpoints before failing ones.
CLAIM_POSTS = statement("event_outbox/claim_posts")


MARK_DELIVERED = statement("event_outbox/mark_delivered")

# Fenced by the lease: another process may have taken the message over, or a caller may have replayed it.
MARK_FAILED = statement("event_outbox/mark_failed")


async def seconds_to_next(session: Executor) -> float | None:
    """Return the seconds until the next message is due, negative if it is overdue, or None if none waits. A leased
    message counts from the end of its lease."""
    value = (await session.execute(SELECT_NEXT_DUE)).scalar_one_or_none()
    return None if value is None else float(value)


async def claim_posts(session: Executor, limits: ConcurrencyLimits, in_flight: Collection[DuePost]) -> list[DuePost]:
    """Claim as many posts as this process may start in addition to those `in_flight`."""
    values = {
        "in_flight": to_json(
            [{name: getattr(flight, name) for name in ("endpoint_id", "tenant", "failing")} for flight in in_flight]
        ),
        "of_endpoint": limits.max_per_endpoint,
        "of_tenant": limits.of_tenant,
        "failing": limits.failing,
        "free_slots": limits.max_total - len(in_flight),
    }
    encryption = encryption_of(session)
    return [_build_post(encryption, dict(row)) for row in (await session.execute(CLAIM_POSTS, values)).mappings()]


def _build_post(encryption: Encryption, row: Json) -> DuePost:
    """Build a post. It has no URL and secrets if they cannot be decrypted, so that the other posts are not affected."""
    owner = secret_owner_of(row["tenant"], row["endpoint_id"])
    stored, keys = row.pop("url"), (row.pop("secret"), row.pop("previous"))
    try:
        url = encryption.decrypt(stored, owner, "url")
        secrets = tuple(encryption.decrypt(key, owner, "secret") for key in keys if key is not None)
    except DecryptionError as error:
        return DuePost(**row, url="", secrets=(), unreadable=str(error))
    return DuePost(**row, url=url, secrets=secrets)


async def record_delivered(session: Executor, post: DuePost, result: PostResult) -> None:
    await session.execute(MARK_DELIVERED, {"endpoint_id": post.endpoint_id, **_result_values(post, result)})


async def record_failed(session: AsyncSession, post: DuePost, result: PostResult, pause: timedelta | None) -> None:
    """Record a failed attempt. The next one is due after `pause`; None gives up."""
    seconds = None if pause is None else pause.total_seconds()
    values = {"pause": seconds, "error": result.error, "lease": post.lease, **_result_values(post, result)}
    await session.execute(MARK_FAILED, values)


def _result_values(post: DuePost, result: PostResult) -> Json:
    attempt_json = to_json([{"at": result.at, "status": result.status, "ms": result.ms, "error": result.error}])
    return {"id": post.id, "status": result.status, "attempt": attempt_json}


# Per request: more would be a long statement.
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
    """Hold the result of a replay. `through` is when its last event occurred. `more`: later events remain."""

    count: int
    through: datetime | None
    more: bool


REPLAY_ONE = statement("event_outbox/replay_one")

# Replayed messages are due one after the other, after those of an earlier replay, and after new messages.
REPLAY = statement("event_outbox/replay")


async def list_page(
    session: AsyncSession, endpoint_id: UUID, status: EventMessageStatus | None, *, before: Cursor | None, limit: int
) -> Sequence[EventMessage]:
    """Return a page of messages, newest first. `before` is the time and id of the last one of the page before."""
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


# Messages that became due while their endpoint was disabled. A replay sends them.
GIVE_UP_DISABLED = statement("event_outbox/give_up_disabled")

DELETE_OLD_MESSAGES = statement("event_outbox/delete_old_messages")

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
