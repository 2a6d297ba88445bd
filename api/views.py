"""Rows of a notification as the API shows them."""

from typing import Any

from api.schemas.digests import DigestOf
from api.schemas.notifications import AttemptView, DeliveryView, NotificationSummary, NotificationView, TimelineEntry
from config import Settings
from domain.evidence import AttemptState
from domain.failure_reasons import category_of
from domain.names import digest_workflow_id, workflow_id
from models.digests import Digest
from models.notifications import Attempt, Delivery, Event, Notification
from storage.notifications import Record
from storage.sealing import unseal


def summary_of(row: Notification, settings: Settings) -> NotificationSummary:
    return NotificationSummary(**_summary(row, settings))


def notification_view(record: Record, settings: Settings) -> NotificationView:
    summary = _summary(record.notification, settings)
    if record.digest is not None and record.digest.calendar and record.notification.digest_group is not None:
        summary["temporal_url"] = None  # a tick closes it: it has no workflow to look at
    return NotificationView(
        **summary,
        event_payload=unseal(record.notification.event_payload),
        digest=_digest(record.digest),
        waits_for=record.entry.waits_for if record.entry else None,
        waits_until=record.entry.waits_until if record.entry else None,
        deliveries=[_delivery(delivery, record.attempts) for delivery in record.deliveries],
        timeline=[_entry(event) for event in record.events],
    )


def _summary(row: Notification, settings: Settings) -> dict[str, Any]:
    workflow = digest_workflow_id(row.digest_group) if row.digest_group else workflow_id(row.id, row.generation)
    derived = ("workflow_id", "temporal_url", "failure_category")
    values = {name: getattr(row, name) for name in NotificationSummary.model_fields if name not in derived}
    values["failure_category"] = category_of(row.failure_reason)
    return values | {"workflow_id": workflow, "temporal_url": temporal_url(settings, workflow)}


def _digest(row: Digest | None) -> DigestOf | None:
    if row is None:
        return None
    return DigestOf(id=row.id, closes_at=row.closes_at, notification_id=row.notification_id)


def temporal_url(settings: Settings, workflow: str) -> str | None:
    if not settings.temporal_ui_url:
        return None
    return f"{settings.temporal_ui_url.rstrip('/')}/namespaces/{settings.temporal_namespace}/workflows/{workflow}"


def _delivery(row: Delivery, attempts: Any) -> DeliveryView:
    derived = ("attempts", "failure_category")
    values = {name: getattr(row, name) for name in DeliveryView.model_fields if name not in derived}
    values["failure_category"] = category_of(row.failure_reason)
    values["rendered_content"] = None if row.rendered_content is None else unseal(row.rendered_content)
    return DeliveryView(**values, attempts=[_attempt(one) for one in attempts if one.delivery_id == row.id])


def _attempt(row: Attempt) -> AttemptView:
    derived = ("outcome", "cost", "category")
    values = {name: getattr(row, name) for name in AttemptView.model_fields if name not in derived}
    return AttemptView(
        **values,
        outcome=AttemptState(row.state).outcome,
        category=category_of(row.receipt_reason or row.reason),
        cost=None if row.cost is None else f"{row.cost.normalize():f}",
    )


def _entry(event: Event) -> TimelineEntry:
    return TimelineEntry(**{name: getattr(event, name) for name in TimelineEntry.model_fields})
