"""Convert the rows of a notification to the history that `domain/explanations.py` explains, and the explanation to JSON
or text."""

from datetime import UTC, datetime
from typing import Any

from api.schemas.explanations import Explanation, ExplanationLine
from api.views import gate_reason, temporal_url, wait_fields
from config import Settings
from domain.channels import Channel
from domain.clock import now
from domain.evidence import AttemptState, Evidence
from domain.explanations import explain, summary
from domain.holds import ActivePause
from domain.names import workflow_id
from domain.notification_histories import AttemptHistory, DeliveryHistory, NotificationHistory
from domain.reasons import stored_failures
from domain.records import TimelineEvent
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.waits import CurrentWait
from models.notification_types import NotificationTypeVersion
from storage.notification_types import notification_type_of
from storage.notifications import NotificationRecord

NOTIFICATION_FIELDS = (
    *("notification_type", "priority", "generation", "created_at", "send_at", "expires_at"),
    *("finished_at", "cancel_requested_at"),
)
ATTEMPT_FIELDS = (
    "delivery_id",
    "endpoint_id",
    "number",
    "provider",
    "started_at",
    "finished_at",
    "error_type",
    "reason",
)
EVENT_FIELDS = ("at", "kind", "reason", "detail", "delivery_id")


def build_explanation(
    record: NotificationRecord,
    notification_type: NotificationTypeVersion,
    pauses: tuple[ActivePause, ...],
    settings: Settings,
) -> Explanation:
    history = history_of(record, notification_type, pauses)
    row = record.notification
    return Explanation(
        id=row.id,
        summary=summary(history),
        **wait_fields(record.waits.of_notification),
        lines=[ExplanationLine(at=line.at, text=line.text) for line in explain(history, now())],
        temporal_url=temporal_url(settings, workflow_id(row.id, row.generation)),
    )


def explanation_text(explanation: Explanation) -> str:
    """Return one line each, prefixed with its time where it has one."""
    lines = [f"{_format_time(line.at)}  {line.text}" if line.at else line.text for line in explanation.lines]
    return (
        "\n".join([explanation.summary, "", *lines, "", str(explanation.id), *filter(None, [explanation.temporal_url])])
        + "\n"
    )


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def history_of(
    record: NotificationRecord, notification_type: NotificationTypeVersion, pauses: tuple[ActivePause, ...] = ()
) -> NotificationHistory:
    row, entry, type_ = record.notification, record.entry, notification_type_of(notification_type)
    return NotificationHistory(
        **_select_fields(row, NOTIFICATION_FIELDS),
        type_version=notification_type.version,
        status=NotificationStatus(row.status),
        failures=stored_failures(row.failures, row.failure_reason),
        dispatched_at=entry.started_at if entry else None,
        dispatch_at=entry.next_at if entry else row.created_at,
        waits_for=gate_reason(entry),
        waits_until=entry.waits_until if entry else None,
        closes_at=record.digest.closes_at if record.digest else None,
        route=tuple(step.channels for step in type_.route),
        always=type_.always,
        only=None if row.channels is None else tuple(Channel(name) for name in row.channels),
        collected=row.digest_key is not None,
        deliveries=tuple(_delivery_history(one, record.waits.of_deliveries.get(one.id)) for one in record.deliveries),
        attempts=tuple(
            AttemptHistory(**_select_fields(one, ATTEMPT_FIELDS), state=AttemptState(one.state))
            for one in record.attempts
        ),
        events=tuple(_event_record(one) for one in record.events),
        pauses=pauses,
    )


def _delivery_history(row: Any, wait: CurrentWait | None) -> DeliveryHistory:
    return DeliveryHistory(
        **_select_fields(row, ("id", "generation", "step", "held_at")),
        channel=Channel(row.channel),
        status=DeliveryStatus(row.status),
        awaited_evidence=Evidence(row.awaited_evidence) if row.awaited_evidence else None,
        held_providers=tuple(row.held_providers or ()),
        waits_until=wait.until if wait else None,
    )


def _event_record(row: Any) -> TimelineEvent:
    return TimelineEvent(
        **_select_fields(row, EVENT_FIELDS),
        channel=Channel(row.channel) if row.channel else None,
        delivery_status=DeliveryStatus(row.delivery_status) if row.delivery_status else None,
        status=NotificationStatus(row.status) if row.status else None,
    )


def _select_fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
