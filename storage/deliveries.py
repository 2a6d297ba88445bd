"""Writes the deliveries of a step: rendered ones that are about to go out, and channels that were skipped."""

from dataclasses import dataclass
from uuid import UUID

from domain.channels import Channel
from domain.json_types import Json
from domain.names import derived_id
from domain.reasons import Reason, category_of, reason_columns
from domain.statuses import DeliveryStatus
from domain.stored_limits import MAX_CONCURRENT_CALLS
from domain.templates import TemplateVersion
from storage.database import to_json
from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """Describe a delivery to insert.

    `chat_room` is the tenant's room that gets it. `devices` counts the addresses to call, `devices_skipped` the other
    devices of the recipient. `calls_limited`: some calls wait for other calls of the same notification."""

    id: UUID
    step: int
    channel: Channel
    rule: str | None
    template: TemplateVersion | None = None
    content: Json | None = None
    skipped: Reason | None = None
    is_skipped_by_rule: bool = False
    chat_room: str | None = None
    devices: int = 0
    devices_skipped: int = 0
    calls_limited: bool = False


# Raises the notification's revision, except from 0, which saves a version of the row: ledgers of revision 0 are read
# under the lock. An ended notification, or one with a cancel request, takes no deliveries.
INSERT_DELIVERIES = statement("deliveries/insert_deliveries")


async def insert_deliveries(
    session: Executor,
    notification_id: UUID,
    tenant: UUID,
    generation: int,
    items: list[NewDelivery],
    *,
    queued_provider: str | None = None,
) -> bool:
    """Insert the deliveries. Return False, and write nothing, if the notification is final, canceled or of another
    generation. `queued_provider`: its calls wait for the rate of this provider, and its slot is free again."""
    values = {
        "id": notification_id,
        "tenant": tenant,
        "generation": generation,
        "queued_provider": queued_provider,
        "max_calls": MAX_CONCURRENT_CALLS,
        "items": to_json([_delivery_columns(item) for item in items]),
    }
    return bool((await session.execute(INSERT_DELIVERIES, values)).scalar_one())


def _delivery_columns(item: NewDelivery) -> Json:
    event_kind = _event_kind(item)
    template = item.template
    return {
        "id": item.id,
        "event_id": event_kind and derived_id("event", item.id, event_kind),
        "step": item.step,
        "channel": item.channel,
        "rule": item.rule,
        "is_skipped_by_rule": item.is_skipped_by_rule,
        "template_id": template and template.id,
        "template_name": template and template.name,
        "template_version": template and template.version,
        "language": template and template.language,
        "rendered_content": item.content,
        "status": DeliveryStatus.SKIPPED if item.skipped else DeliveryStatus.PENDING,
        **reason_columns(item.skipped),
        "category": category_of(item.skipped),
        "room": item.chat_room,
        "kind": event_kind,
        "devices": item.devices,
        "devices_skipped": item.devices_skipped,
        "devices_event_id": derived_id("event", item.id, "devices_skipped") if item.devices_skipped else None,
        "calls_limited": item.calls_limited,
        "calls_event_id": derived_id("event", item.id, "calls_limited") if item.calls_limited else None,
    }


def _event_kind(item: NewDelivery) -> str | None:
    """Return the kind of event, or None if rendering failed: the failure writes its own event."""
    if item.skipped:
        return "channel_skipped"
    return None if item.content is None else "rendered"
