"""Read notifications of one tenant: one in full, a page of a search, or the open ones with a cancel key.

Search, the list of failures and redrives select notifications by one `NotificationFilter`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, ColumnExpressionArgument, func, literal_column, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from domain.channels import Channel
from domain.json_types import Json
from domain.redrives import DEAD_LETTER_STATUSES
from domain.waits import NO_WAITS, NotificationWaits
from models.digests import Digest
from models.notifications import Attempt, Delivery, Event, Notification
from models.queue import QueueEntry
from storage import gates


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationFilter:
    """A notification must match every given member.

    `text` are words of the content, in the syntax of web searches. `failure_reason` is the code of one channel (of
    `channel`, if given) or of its cause: `retries_exhausted`, `timeout` or `retries_exhausted: timeout`; or several
    with their channels, as in the text of a notification.
    """

    notification_type: str | None = None
    status: str | None = None
    channel: str | None = None
    failure_reason: str | None = None
    recipient_id: str | None = None
    tag: str | None = None
    cancel_key: str | None = None
    text: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    digest_id: UUID | None = None


# The same expression as in the index on `delivery`, or Postgres does not use it.
CONTENT_WORDS: ColumnElement[str] = literal_column("content_words(delivery.rendered_content)")


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
    """Return a page of notifications, newest first. `before` is the last id of the page before."""
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
    """Return open notifications with this key, oldest first, except those that already have a cancel request."""
    query = select(Notification).where(
        Notification.tenant == tenant,
        Notification.cancel_key == cancel_key,
        col(Notification.finished_at).is_(None),
        col(Notification.cancel_requested_at).is_(None),
    )
    if recipient_id is not None:
        query = query.where(Notification.recipient_id == recipient_id)
    return (await session.execute(query.order_by(col(Notification.id)).limit(limit))).scalars().all()


def build_conditions(tenant: UUID, criteria: NotificationFilter) -> list[ColumnElement[bool]]:
    """Return the conditions on `Notification`. The channel is one of any generation."""
    conditions = _column_conditions(tenant, criteria) + _reason_conditions(criteria)
    found = []
    if criteria.channel is not None and criteria.failure_reason is None:
        found.append(col(Delivery.channel) == criteria.channel)
    if criteria.text is not None:
        found.append(
            CONTENT_WORDS.op("@@")(func.websearch_to_tsquery(literal_column("'simple'::regconfig"), criteria.text))
        )
    return [*conditions, _has_delivery(*found)] if found else conditions


def build_dead_letter_conditions(
    tenant: UUID, criteria: NotificationFilter, status: str | None = None
) -> list[ColumnElement[bool]]:
    """Return the conditions on `Notification`. The channel is one of the present generation. Without a status in the
    filter: `status`, or every status of a dead letter."""
    conditions = _column_conditions(tenant, criteria) + _reason_conditions(criteria)
    if criteria.status is None:
        conditions.append(col(Notification.status).in_(DEAD_LETTER_STATUSES if status is None else [status]))
    if criteria.channel is not None and criteria.failure_reason is None:
        is_present = col(Delivery.generation) == col(Notification.generation)
        conditions.append(_has_delivery(col(Delivery.channel) == criteria.channel, is_present))
    return conditions


def _column_conditions(tenant: UUID, criteria: NotificationFilter) -> list[ColumnElement[bool]]:
    equal = {
        Notification.recipient_id: criteria.recipient_id,
        Notification.notification_type: criteria.notification_type,
        Notification.status: criteria.status,
        Notification.digest_id: criteria.digest_id,
        Notification.cancel_key: criteria.cancel_key,
    }
    conditions = [col(Notification.tenant) == tenant]
    conditions += [col(column) == value for column, value in equal.items() if value is not None]
    if criteria.tag is not None:
        conditions.append(col(Notification.tags).contains([criteria.tag]))
    if criteria.created_from is not None:
        conditions.append(col(Notification.created_at) >= criteria.created_from)
    if criteria.created_before is not None:
        conditions.append(col(Notification.created_at) < criteria.created_before)
    return conditions


def _has_delivery(*conditions: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    same = (col(Delivery.notification_id) == col(Notification.id), col(Delivery.tenant) == col(Notification.tenant))
    return select(Delivery.id).where(*same, *conditions).correlate(Notification).exists()


def _reason_conditions(criteria: NotificationFilter) -> list[ColumnElement[bool]]:
    if criteria.failure_reason is None:
        return []
    codes = [_parse_failure(part, criteria.channel) for part in criteria.failure_reason.split("; ")]
    failures = col(Notification.failures)
    if "args" in codes[0]:
        return [failures.contains(codes)]
    causes = [{"args": {"cause": code.pop("code")}, **code} for code in (dict(each) for each in codes)]
    return [or_(failures.contains(codes), failures.contains(causes))]


def _parse_failure(text: str, channel: str | None) -> Json:
    """Return what a failure with this text contains, such as `email: retries_exhausted: timeout`."""
    first, _, rest = text.partition(": ")
    if first in set(Channel):
        channel, text = channel or first, rest
    code, _, cause = text.partition(": ")
    given: Json = {"code": code.partition(" (")[0]} | ({"channel": channel} if channel else {})
    return given | ({"args": {"cause": cause}} if cause else {})
