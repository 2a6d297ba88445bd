"""Accept the notifications of a schedule occurrence, once per recipient however often it runs. Called by
`services/recurring_sends.py` in its transactions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.digests import digest_key_of
from domain.names import timed_id
from domain.notification_types import NotificationType
from domain.schedules import ScheduleDefinition, SkipReason, scheduled_notification_id
from storage import notification_types
from storage.acceptance import AcceptResult, NewNotification, accept


@dataclass(frozen=True, kw_only=True, slots=True)
class OccurrenceResult:
    """Count the results of an occurrence for a batch of recipients. A recipient who already had it is in neither
    count."""

    accepted: int = 0
    skipped_recipients: Counter[SkipReason] = field(default_factory=Counter)


class ScheduledSends:
    """Accept notifications. `secret` is the key of the hashes that identify digests."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def send(
        self,
        session: AsyncSession,
        schedule: ScheduleDefinition,
        due_at: datetime,
        recipients: Sequence[str],
        trigger: UUID | None,
    ) -> OccurrenceResult:
        """Send an occurrence. `trigger` is the run of a manual trigger, which is independent of other occurrences."""
        row = await notification_types.find_current(session, schedule.tenant, schedule.notification_type)
        if row is None:
            return OccurrenceResult(skipped_recipients=Counter({SkipReason.TYPE_DELETED: len(recipients)}))
        notification_type = notification_types.notification_type_of(row)
        ids = {recipient: _notification_id(schedule, due_at, recipient, trigger) for recipient in recipients}
        results = await accept(
            session,
            schedule.tenant,
            [self._new_notification(schedule, notification_type, recipient, id) for recipient, id in ids.items()],
            notify=True,
        )
        return _occurrence_result([results[id] for id in ids.values()])

    def _new_notification(
        self, schedule: ScheduleDefinition, notification_type: NotificationType, recipient: str, id: UUID
    ) -> NewNotification:
        return NewNotification(
            id=id,
            recipient_id=recipient,
            notification_type=notification_type.key,
            type_id=notification_type.id,
            event_payload=schedule.payload,
            priority=schedule.priority or notification_type.priority,
            channels=None if schedule.channels is None else list(schedule.channels),
            tags=schedule.tags,
            expires_in=notification_type.effective_expires_in(schedule.expires_in),
            digest_key=self._digest_key(schedule, notification_type, recipient)
            if notification_type.timing.collects
            else None,
            schedule_id=schedule.id,
        )

    def _digest_key(self, schedule: ScheduleDefinition, notification_type: NotificationType, recipient: str) -> str:
        return digest_key_of(
            self._secret, schedule.tenant, notification_type, recipient, schedule.payload, schedule.channels
        )


def _notification_id(schedule: ScheduleDefinition, due_at: datetime, recipient: str, trigger: UUID | None) -> UUID:
    if trigger is not None:
        return timed_id(due_at, "triggered", trigger, recipient)
    return scheduled_notification_id(schedule.id, recipient, due_at)


def _occurrence_result(results: Sequence[AcceptResult]) -> OccurrenceResult:
    unknown = sum(not accept_result.known_recipient for accept_result in results)
    accepted = sum(accept_result.created_at is not None for accept_result in results)
    return OccurrenceResult(
        accepted=accepted, skipped_recipients=Counter({SkipReason.UNKNOWN_RECIPIENT: unknown} if unknown else {})
    )
