"""Build the history of a notification from its rows, for `domain/explaining/` to explain. Called by the route of
explanations."""

from typing import Any

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.explaining.histories import AttemptHistory, DeliveryHistory, NotificationHistory
from domain.holds import ActivePause
from domain.reasons import Reason, failures_from_json
from domain.records import TimelineEvent
from domain.sms_segments import segments_of
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.waits import CurrentWait
from models.notification_types import NotificationTypeVersion
from models.queue import QueueEntry
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


def history_of(
    record: NotificationRecord, notification_type: NotificationTypeVersion, pauses: tuple[ActivePause, ...] = ()
) -> NotificationHistory:
    row, entry, type_ = record.notification, record.entry, notification_type_of(notification_type)
    return NotificationHistory(
        **_select_fields(row, NOTIFICATION_FIELDS),
        type_version=notification_type.version,
        status=NotificationStatus(row.status),
        failures=failures_from_json(row.failures),
        dispatched_at=entry.started_at if entry else None,
        dispatch_at=entry.next_at if entry else row.created_at,
        waits_for=_gate_reason(entry),
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


def _gate_reason(entry: QueueEntry | None) -> Reason | None:
    if entry is None or entry.waits_for is None:
        return None
    return Reason(entry.waits_for, {"provider": entry.awaited_provider} if entry.awaited_provider else {})


def _delivery_history(row: Any, wait: CurrentWait | None) -> DeliveryHistory:
    return DeliveryHistory(
        **_select_fields(row, ("id", "generation", "step", "held_at")),
        channel=Channel(row.channel),
        status=DeliveryStatus(row.status),
        awaited_evidence=Evidence(row.awaited_evidence) if row.awaited_evidence else None,
        held_providers=tuple(row.held_providers or ()),
        waits_until=wait.until if wait else None,
        sms=segments_of(row.channel, row.rendered_content),
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
