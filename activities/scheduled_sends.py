"""A time of a schedule as notifications: accepted once for each person, whoever runs it how often. Called by
`activities/recurring.py`, in its transactions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.digests import group_of
from domain.names import timed_id
from domain.notification_types import NotificationType
from domain.schedules import LeftOut, Schedule, notification_id
from storage import notification_types
from storage.acceptance import Accepted, NewNotification, accept


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What became of a time for some people. Whoever had it before is in neither."""

    accepted: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)


class ScheduledSends:
    """`secret` names groups of digests."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def send(
        self, session: AsyncSession, schedule: Schedule, due_at: datetime, people: Sequence[str], trigger: UUID | None
    ) -> Sent:
        """`trigger`: the run of somebody who wants it now, whatever was sent at other times."""
        row = await notification_types.current(session, schedule.tenant, schedule.notification_type)
        if row is None:
            return Sent(left_out=Counter({LeftOut.TYPE_DELETED: len(people)}))
        kind = notification_types.value_of(row)
        ids = {person: _id(schedule, due_at, person, trigger) for person in people}
        answers = await accept(
            session, schedule.tenant, [self._new(schedule, kind, person, id) for person, id in ids.items()]
        )
        return _sent([answers[id] for id in ids.values()])

    def _new(self, schedule: Schedule, kind: NotificationType, person: str, id: UUID) -> NewNotification:
        return NewNotification(
            id=id,
            recipient_id=person,
            notification_type=kind.key,
            type_id=kind.id,
            event_payload=schedule.payload,
            priority=schedule.priority or kind.priority,
            channels=None if schedule.channels is None else list(schedule.channels),
            tags=schedule.tags,
            expires_in=kind.worthless_after(schedule.expires_in),
            digest_group=self._group(schedule, kind, person) if kind.timing.collects else None,
            schedule_id=schedule.id,
        )

    def _group(self, schedule: Schedule, kind: NotificationType, person: str) -> str:
        return group_of(self._secret, schedule.tenant, kind, person, schedule.payload, schedule.channels)


def _id(schedule: Schedule, due_at: datetime, person: str, trigger: UUID | None) -> UUID:
    if trigger is not None:
        return timed_id(due_at, "triggered", trigger, person)
    return notification_id(schedule.id, person, due_at)


def _sent(answers: Sequence[Accepted]) -> Sent:
    unknown = sum(not answer.known_recipient for answer in answers)
    accepted = sum(answer.created_at is not None for answer in answers)
    return Sent(accepted=accepted, left_out=Counter({LeftOut.UNKNOWN_RECIPIENT: unknown} if unknown else {}))
