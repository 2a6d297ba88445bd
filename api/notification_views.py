"""Convert the rows of a notification to API responses."""

from typing import Any

from api.schemas.digests import NotificationDigest
from api.schemas.notifications import AttemptView, DeliveryView, NotificationSummary, NotificationView, TimelineEntry
from api.schemas.sms import SmsView
from config import Settings
from domain.evidence import AttemptState
from domain.failure_reasons import category_of_code
from domain.names import digest_workflow_id, workflow_id
from domain.reasons import category_of, failures_from_json, failures_to_json, first_category, reason_line
from domain.timeline import line_of, reason_of
from domain.waits import CurrentWait, NotificationWaits
from models.digests import Digest
from models.notifications import Attempt, Delivery, Event, Notification
from storage.notifications import NotificationRecord


def summary_of(row: Notification, waits: NotificationWaits, settings: Settings) -> NotificationSummary:
    return NotificationSummary(**_summary_fields(row, waits, settings))


def notification_view(record: NotificationRecord, settings: Settings) -> NotificationView:
    summary = _summary_fields(record.notification, record.waits, settings)
    if record.digest is not None and record.digest.closes_on_schedule and record.notification.digest_key is not None:
        summary["temporal_url"] = None  # a tick closes it, so it has no workflow
    return NotificationView(
        **summary,
        event_payload=record.notification.event_payload,
        email=record.notification.email_options,
        digest=_digest_view(record.digest),
        deliveries=[_delivery_view(delivery, record) for delivery in record.deliveries],
        timeline=[_timeline_entry(event) for event in record.events],
    )


def _summary_fields(row: Notification, waits: NotificationWaits, settings: Settings) -> dict[str, Any]:
    workflow = digest_workflow_id(row.digest_key) if row.digest_key else workflow_id(row.id, row.generation)
    derived = ("workflow_id", "temporal_url", "failures", "failure_category", "waits_for", "waits_until")
    values = {name: getattr(row, name) for name in NotificationSummary.model_fields if name not in derived}
    failures = failures_from_json(row.failures)
    values |= {"failures": failures_to_json(failures), "failure_category": first_category(failures)}
    url = temporal_url(settings, workflow)
    return values | {"workflow_id": workflow, "temporal_url": url, **wait_fields(waits.of_notification)}


def wait_fields(wait: CurrentWait | None) -> dict[str, Any]:
    return {"waits_for": wait.reason if wait else None, "waits_until": wait.until if wait else None}


def _digest_view(row: Digest | None) -> NotificationDigest | None:
    if row is None:
        return None
    return NotificationDigest(id=row.id, closes_at=row.closes_at, notification_id=row.notification_id)


def temporal_url(settings: Settings, workflow: str) -> str | None:
    if not settings.temporal_ui_url:
        return None
    return f"{settings.temporal_ui_url.rstrip('/')}/namespaces/{settings.temporal_namespace}/workflows/{workflow}"


def _delivery_view(row: Delivery, record: NotificationRecord) -> DeliveryView:
    derived = ("sms", "attempts", "failure_reason", "failure_category", "waits_for", "waits_until")
    values = {name: getattr(row, name) for name in DeliveryView.model_fields if name not in derived}
    failure = reason_of(row.failure_reason, row.failure_args)
    values |= {"failure_reason": failure and reason_line(failure), "failure_category": category_of(failure)}
    values |= wait_fields(record.waits.of_deliveries.get(row.id))
    values["sms"] = SmsView.from_content(row.channel, row.rendered_content)
    return DeliveryView(
        **values, attempts=[_attempt_view(attempt) for attempt in record.attempts if attempt.delivery_id == row.id]
    )


def _attempt_view(row: Attempt) -> AttemptView:
    derived = ("outcome", "cost", "category")
    values = {name: getattr(row, name) for name in AttemptView.model_fields if name not in derived}
    return AttemptView(
        **values,
        outcome=AttemptState(row.state).outcome,
        category=category_of_code(row.receipt_reason or row.reason),
        cost=None if row.cost is None else f"{row.cost.normalize():f}",
    )


def _timeline_entry(event: Event) -> TimelineEntry:
    values = {name: getattr(event, name) for name in TimelineEntry.model_fields}
    return TimelineEntry(**values | {"reason": line_of(event.reason, event.detail)})
