"""Rows of a notification as the API shows them."""

from typing import Any

from api.schemas.digests import DigestOf
from api.schemas.notifications import AttemptView, DeliveryView, NotificationSummary, NotificationView, TimelineEntry
from config import Settings
from domain.evidence import AttemptState
from domain.failure_reasons import category
from domain.names import digest_workflow_id, workflow_id
from domain.reasons import Reason, category_of, first_category, line, stored, to_json
from domain.timeline import line_of, reason_of
from domain.waits import CurrentWait, NotificationWaits
from models.digests import Digest
from models.notifications import Attempt, Delivery, Event, Notification
from models.queue import QueueEntry
from storage.notifications import Record
from storage.sealing import unseal


def summary_of(row: Notification, waits: NotificationWaits, settings: Settings) -> NotificationSummary:
    return NotificationSummary(**_summary(row, waits, settings))


def notification_view(record: Record, settings: Settings) -> NotificationView:
    summary = _summary(record.notification, record.waits, settings)
    if record.digest is not None and record.digest.calendar and record.notification.digest_group is not None:
        summary["temporal_url"] = None  # a tick closes it: it has no workflow to look at
    return NotificationView(
        **summary,
        event_payload=unseal(record.notification.event_payload),
        digest=_digest(record.digest),
        deliveries=[_delivery(delivery, record) for delivery in record.deliveries],
        timeline=[_entry(event) for event in record.events],
    )


def _summary(row: Notification, waits: NotificationWaits, settings: Settings) -> dict[str, Any]:
    workflow = digest_workflow_id(row.digest_group) if row.digest_group else workflow_id(row.id, row.generation)
    derived = ("workflow_id", "temporal_url", "failures", "failure_category", "waits_for", "waits_until")
    values = {name: getattr(row, name) for name in NotificationSummary.model_fields if name not in derived}
    failures = stored(row.failures, row.failure_reason)
    values |= {"failures": to_json(failures), "failure_category": first_category(failures)}
    url = temporal_url(settings, workflow)
    return values | {"workflow_id": workflow, "temporal_url": url, **wait_fields(waits.of_notification)}


def wait_fields(wait: CurrentWait | None) -> dict[str, Any]:
    return {"waits_for": wait.reason if wait else None, "waits_until": wait.until if wait else None}


def gate_reason(entry: QueueEntry | None) -> Reason | None:
    if entry is None or entry.waits_for is None:
        return None
    return Reason(entry.waits_for, {"provider": entry.busy_provider} if entry.busy_provider else {})


def _digest(row: Digest | None) -> DigestOf | None:
    if row is None:
        return None
    return DigestOf(id=row.id, closes_at=row.closes_at, notification_id=row.notification_id)


def temporal_url(settings: Settings, workflow: str) -> str | None:
    if not settings.temporal_ui_url:
        return None
    return f"{settings.temporal_ui_url.rstrip('/')}/namespaces/{settings.temporal_namespace}/workflows/{workflow}"


def _delivery(row: Delivery, record: Record) -> DeliveryView:
    derived = ("attempts", "failure_reason", "failure_category", "waits_for", "waits_until")
    values = {name: getattr(row, name) for name in DeliveryView.model_fields if name not in derived}
    failure = reason_of(row.failure_reason, row.failure_args)
    values |= {"failure_reason": failure and line(failure), "failure_category": category_of(failure)}
    values["rendered_content"] = None if row.rendered_content is None else unseal(row.rendered_content)
    values |= wait_fields(record.waits.of_deliveries.get(row.id))
    return DeliveryView(**values, attempts=[_attempt(one) for one in record.attempts if one.delivery_id == row.id])


def _attempt(row: Attempt) -> AttemptView:
    derived = ("outcome", "cost", "category")
    values = {name: getattr(row, name) for name in AttemptView.model_fields if name not in derived}
    return AttemptView(
        **values,
        outcome=AttemptState(row.state).outcome,
        category=category(row.receipt_reason or row.reason),
        cost=None if row.cost is None else f"{row.cost.normalize():f}",
    )


def _entry(event: Event) -> TimelineEntry:
    values = {name: getattr(event, name) for name in TimelineEntry.model_fields}
    return TimelineEntry(**values | {"reason": line_of(event.reason, event.detail)})
