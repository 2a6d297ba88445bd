"""Rows of a notification as the story that `domain/explanations.py` tells, and that as an answer: JSON or text."""

from datetime import UTC, datetime
from typing import Any

from api.schemas.explanations import Explanation, ExplanationLine
from api.views import gate_reason, temporal_url, wait_fields
from config import Settings
from domain.channels import Channel
from domain.clock import now
from domain.evidence import AttemptState, Evidence
from domain.explanations import account, summary
from domain.holds import Pause
from domain.names import workflow_id
from domain.reasons import stored
from domain.records import Event
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.stories import Call, Leg, Story
from domain.waits import CurrentWait
from models.content import NotificationType
from storage.notification_types import value_of
from storage.notifications import Record

AS_THEY_ARE = (
    *("notification_type", "priority", "generation", "created_at", "send_at", "expires_at"),
    *("finished_at", "cancel_requested_at"),
)
OF_A_CALL = ("delivery_id", "endpoint_id", "number", "provider", "started_at", "finished_at", "error_type", "reason")
OF_AN_EVENT = ("at", "kind", "reason", "detail", "delivery_id")


def explanation(record: Record, kind: NotificationType, pauses: tuple[Pause, ...], settings: Settings) -> Explanation:
    story = story_of(record, kind, pauses)
    row = record.notification
    return Explanation(
        id=row.id,
        summary=summary(story),
        **wait_fields(record.waits.of_notification),
        lines=[ExplanationLine(at=line.at, text=line.text) for line in account(story, now())],
        temporal_url=temporal_url(settings, workflow_id(row.id, row.generation)),
    )


def as_text(told: Explanation) -> str:
    """A line each, with its time where it has one."""
    lines = [f"{_clock(line.at)}  {line.text}" if line.at else line.text for line in told.lines]
    return "\n".join([told.summary, "", *lines, "", str(told.id), *filter(None, [told.temporal_url])]) + "\n"


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def story_of(record: Record, kind: NotificationType, pauses: tuple[Pause, ...] = ()) -> Story:
    row, entry, type_ = record.notification, record.entry, value_of(kind)
    return Story(
        **_named(row, AS_THEY_ARE),
        type_version=kind.version,
        status=NotificationStatus(row.status),
        failures=stored(row.failures, row.failure_reason),
        dispatched_at=entry.started_at if entry else None,
        dispatch_at=entry.next_at if entry else row.created_at,
        waits_for=gate_reason(entry),
        waits_until=entry.waits_until if entry else None,
        closes_at=record.digest.closes_at if record.digest else None,
        route=tuple(step.channels for step in type_.route),
        beside=type_.always,
        only=None if row.channels is None else tuple(Channel(name) for name in row.channels),
        collected=row.digest_group is not None,
        legs=tuple(_leg(one, record.waits.of_deliveries.get(one.id)) for one in record.deliveries),
        calls=tuple(Call(**_named(one, OF_A_CALL), state=AttemptState(one.state)) for one in record.attempts),
        events=tuple(_event(one) for one in record.events),
        pauses=pauses,
    )


def _leg(row: Any, wait: CurrentWait | None) -> Leg:
    return Leg(
        **_named(row, ("id", "generation", "step", "held_at")),
        channel=Channel(row.channel),
        status=DeliveryStatus(row.status),
        awaits=Evidence(row.awaits) if row.awaits else None,
        held_providers=tuple(row.held_providers or ()),
        waits_until=wait.until if wait else None,
    )


def _event(row: Any) -> Event:
    return Event(
        **_named(row, OF_AN_EVENT),
        channel=Channel(row.channel) if row.channel else None,
        delivery_status=DeliveryStatus(row.delivery_status) if row.delivery_status else None,
        status=NotificationStatus(row.status) if row.status else None,
    )


def _named(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
