"""List dead letters by the reason of their failure, and redrive them. Called by the routes of failures and redrives.

A redrive reads the rows under their locks and writes a new generation. The row is due for the dispatcher; its workflow
makes the new deliveries, and its guard knows the earlier ones.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Label, Select, exists, func, literal_column, select, tuple_, union_all
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from domain.cursors import MIN_ID
from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, derived_id
from domain.reasons import ChannelReason, failures_from_json
from domain.redrives import DEAD_LETTER_STATUSES, RedriveCandidate
from domain.statuses import NotificationStatus
from models.notifications import Notification
from models.recipients import Recipient
from storage.attachments import renew_used
from storage.database import to_json
from storage.notifications import NotificationFilter, build_dead_letter_conditions
from storage.statements import statement

SAMPLE_SIZE = 5


# Count, type, status and key of a group, by which the list is sorted.
FailureGroupCursor = tuple[int, str, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterGroup:
    """Notifications that failed for the same reasons. `key` is these reasons without numbers, as JSON. `sample_ids` are
    the newest; `oldest` and `newest` are times of acceptance."""

    notification_type: str
    status: str
    key: str
    count: int
    oldest: datetime
    newest: datetime
    sample_ids: Sequence[UUID]

    @property
    def cursor(self) -> FailureGroupCursor:
        return self.count, self.notification_type, self.status, self.key

    @property
    def failures(self) -> tuple[ChannelReason, ...]:
        return failures_from_json(json.loads(self.key))


# Failures that differ only in a number are the same failure.
REASONS_KEY: Label[str] = literal_column("""CAST(COALESCE(
       (SELECT jsonb_agg(one #- '{args,attempts}' #- '{args,step}' ORDER BY place)
          FROM jsonb_array_elements(notification.failures) WITH ORDINALITY AS each(one, place)),
       jsonb_build_array(jsonb_build_object('channel', NULL, 'code', 'unknown', 'args', jsonb_build_object()))) AS text)
""").label("key")


@dataclass(frozen=True, kw_only=True, slots=True)
class RedriveTarget:
    """Identify a notification to redrive. `revision` fences the write, so that it is redriven once."""

    id: UUID
    revision: int
    generation: int
    priority: int
    candidate: RedriveCandidate


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRedrive:
    """`delay`: seconds until it may start."""

    target: RedriveTarget
    delay: float = 0.0


START_GENERATIONS = statement("dead_letters/start_generations")


async def list_failure_groups(
    session: AsyncSession, tenant: UUID, criteria: NotificationFilter, *, after: FailureGroupCursor | None, limit: int
) -> list[DeadLetterGroup]:
    """Return the largest groups first."""
    groups = _group_query(tenant, criteria).subquery()
    grouped = groups.c
    order = (-grouped.count, grouped.notification_type, grouped.status, grouped.key)
    query = select(groups).order_by(*order).limit(limit)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(-after[0], *after[1:]))
    return [DeadLetterGroup(**row) for row in (await session.execute(query)).mappings()]


def _group_query(tenant: UUID, criteria: NotificationFilter) -> Select[Any]:
    names = (col(Notification.notification_type), col(Notification.status), REASONS_KEY)
    created_at, id = col(Notification.created_at), col(Notification.id)
    figures = (
        func.count().label("count"),
        func.min(created_at).label("oldest"),
        func.max(created_at).label("newest"),
        func.array_agg(aggregate_order_by(id, id.desc()))[1:SAMPLE_SIZE].label("sample_ids"),
    )
    return select(*names, *figures).where(*build_dead_letter_conditions(tenant, criteria)).group_by(*names)


async def count_dead_letters(session: AsyncSession, tenant: UUID, criteria: NotificationFilter) -> int:
    query = select(func.count()).select_from(Notification).where(*build_dead_letter_conditions(tenant, criteria))
    return int((await session.execute(query)).scalar_one())


async def find_targets(
    session: AsyncSession, tenant: UUID, criteria: NotificationFilter, *, after: UUID = MIN_ID, limit: int, lock: bool
) -> list[RedriveTarget]:
    """Return targets in the order of their ids, in which every transaction locks them. `after` is the last id of the
    previous page."""
    targets: list[RedriveTarget] = []
    # Targets that another transaction redrives during the wait for their lock are replaced by later ones.
    while (missing := limit - len(targets)) > 0:
        ids = (await session.execute(_id_query(tenant, criteria, after, missing))).scalars().all()
        if ids:
            after = ids[-1]
            query = _target_query().where(*build_dead_letter_conditions(tenant, criteria))
            query = query.where(col(Notification.id).in_(ids)).order_by(col(Notification.id))
            rows = await session.execute(query.with_for_update(of=Notification) if lock else query)
            targets += [_target_of(row) for row in rows.mappings()]
        if len(ids) < missing:
            break
    return targets


def _id_query(tenant: UUID, criteria: NotificationFilter, after: UUID, limit: int) -> Select[Any]:
    """Return one branch per status, because the index of statuses is in the order of ids only within a status."""
    id = col(Notification.id)
    branches = [
        select(id).where(*build_dead_letter_conditions(tenant, criteria, status), id > after).order_by(id).limit(limit)
        for status in (DEAD_LETTER_STATUSES if criteria.status is None else [None])
    ]
    found = union_all(*branches).subquery().c
    return select(found.id).order_by(found.id).limit(limit)


def _target_query() -> Select[Any]:
    names = ("id", "revision", "generation", "priority", "status", "finished_at", "expires_at")
    # Ten seconds, because the time of a row is when its transaction began. A later recipient with the same id is
    # another one.
    is_known = exists().where(
        col(Recipient.tenant) == col(Notification.tenant),
        col(Recipient.recipient_id) == col(Notification.recipient_id),
        col(Recipient.created_at) < col(Notification.created_at) + timedelta(seconds=10),
    )
    is_emptied = col(Notification.content_removed_at).is_not(None)
    columns = [col(getattr(Notification, name)) for name in names]
    return select(*columns, (~is_known).label("erased"), is_emptied.label("emptied"))


async def lock_target(session: AsyncSession, tenant: UUID, id: UUID) -> RedriveTarget | None:
    query = _target_query().where(col(Notification.tenant) == tenant, col(Notification.id) == id)
    row = (await session.execute(query.with_for_update(of=Notification))).mappings().one_or_none()
    return None if row is None else _target_of(row)


async def redrive(session: AsyncSession, tenant: UUID, redrives: Sequence[PlannedRedrive], key_id: UUID) -> set[UUID]:
    """Start the new generations. Return the ids of those whose row is still as it was read."""
    items = [_redrive_item(planned) for planned in redrives]
    parameters = {"items": to_json(items), "tenant": tenant, "key": str(key_id)}
    parameters |= {"channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    redriven = {row[0] for row in await session.execute(START_GENERATIONS, parameters)}
    await renew_used(session, tenant, sorted(redriven))
    return redriven


def _redrive_item(planned: PlannedRedrive) -> dict[str, Any]:
    target = planned.target
    return {
        "id": target.id,
        "revision": target.revision,
        "event_id": derived_id("event", target.id, target.revision, 0),
        "delay": planned.delay,
        "forced": target.candidate.status is NotificationStatus.IN_DOUBT,
    }


def _target_of(row: Any) -> RedriveTarget:
    candidate = RedriveCandidate(
        status=NotificationStatus(row["status"]),
        finished=row["finished_at"] is not None,
        expires_at=row["expires_at"],
        erased=row["erased"],
        emptied=row["emptied"],
    )
    return RedriveTarget(
        id=row["id"],
        revision=row["revision"],
        generation=row["generation"],
        priority=row["priority"],
        candidate=candidate,
    )
