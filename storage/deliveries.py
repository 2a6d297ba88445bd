"""Writes the deliveries of a step: rendered ones that are about to go out, and channels that were skipped."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from domain.channels import Channel
from domain.json_types import JsonObject
from domain.names import derived_id
from domain.reasons import Reason, category_of, reason_columns
from domain.statuses import DeliveryStatus
from domain.stored_limits import MAX_CONCURRENT_CALLS
from domain.templates import TemplateVersion
from storage.database import to_json
from storage.queue_entries import CLEAR_WAIT, WAIT_IS_OVER
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """Describe a delivery to insert.

    `devices` counts the addresses to call, `devices_skipped` the other devices of the recipient. `calls_limited`: some
    calls wait for other calls of the same notification."""

    id: UUID
    step: int
    channel: Channel
    rule: str | None
    template: TemplateVersion | None = None
    content: JsonObject | None = None
    skipped: Reason | None = None
    is_skipped_by_rule: bool = False
    devices: int = 0
    devices_skipped: int = 0
    calls_limited: bool = False


# The notification's revision moves with its set of deliveries, except from 0, where it saves a version of the row:
# ledgers of revision 0 are read under the lock. A row that is over, or to be cancelled, takes no deliveries.
INSERT_DELIVERIES = text(f"""
WITH open AS (
  SELECT id, tenant, generation, revision FROM notification
   WHERE id = :id AND tenant = :tenant AND generation = :generation AND finished_at IS NULL
     AND cancel_requested_at IS NULL
     FOR UPDATE
), moved AS (
  UPDATE notification n SET revision = n.revision + 1 FROM open WHERE n.id = open.id AND open.revision > 0
), queued AS (
  UPDATE queue_entry q SET state = 'started', claimed_by = NULL, started_at = COALESCE(q.started_at, now()),
         {CLEAR_WAIT},
         queued_provider = :queued_provider, queued_at = now(), next_at = now() + interval '1 minute'
    FROM open
   WHERE CAST(:queued_provider AS text) IS NOT NULL AND q.notification_id = open.id AND q.generation = open.generation
     AND {WAIT_IS_OVER}
), item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x(
    id uuid, event_id uuid, step int, channel text, rule text, is_skipped_by_rule bool, template_id uuid,
    template_name text,
    template_version int, language text, rendered_content jsonb, status text, failure_reason text,
    failure_args jsonb, kind text,
    category text, devices int, devices_skipped int, devices_event_id uuid, calls_limited bool, calls_event_id uuid)
), deliveries AS (
  INSERT INTO delivery (id, tenant, notification_id, generation, step, channel, rule, is_skipped_by_rule, template_id,
         template_name, template_version, language, rendered_content, status, failure_reason, failure_args,
         created_at)
  SELECT item.id, open.tenant, open.id, open.generation, step, channel, rule, is_skipped_by_rule, template_id,
         template_name,
         template_version, language, rendered_content, status, failure_reason, failure_args, clock_timestamp()
    FROM item, open
  ON CONFLICT (id) DO NOTHING RETURNING id
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id, delivery_status)
  SELECT item.event_id, open.tenant, open.id, clock_timestamp(), kind, channel, failure_reason,
         jsonb_strip_nulls(jsonb_build_object('rule', rule, 'template', template_name, 'version', template_version,
                                              'language', language, 'category', category))
           || COALESCE(failure_args, '{{}}'), item.id, status
    FROM item JOIN deliveries USING (id), open
   WHERE kind IS NOT NULL
  ON CONFLICT (id) DO NOTHING
), too_many AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
  SELECT item.devices_event_id, open.tenant, open.id, clock_timestamp(), 'devices_skipped', channel,
         'too_many_devices', jsonb_build_object('used', devices, 'skipped', devices_skipped), item.id
    FROM item JOIN deliveries USING (id), open
   WHERE devices_skipped > 0
  ON CONFLICT (id) DO NOTHING
), waiting AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, detail, delivery_id)
  SELECT item.calls_event_id, open.tenant, open.id, clock_timestamp(), 'calls_limited', channel,
         jsonb_build_object('devices', devices, 'limit', {MAX_CONCURRENT_CALLS}), item.id
    FROM item JOIN deliveries USING (id), open
   WHERE calls_limited
  ON CONFLICT (id) DO NOTHING
)
SELECT count(*) FROM open
""")  # noqa: S608 - constants of our own


async def insert_deliveries(
    session: Executor,
    notification_id: UUID,
    tenant: UUID,
    generation: int,
    items: list[NewDelivery],
    *,
    queued_provider: str | None = None,
) -> bool:
    """False if the notification is final, cancelled or of another generation: then nothing was written.
    `queued_provider`: its calls wait for the rate of this provider, and it needs no slot any more."""
    values = {
        "id": notification_id,
        "tenant": tenant,
        "generation": generation,
        "queued_provider": queued_provider,
        "items": to_json([_delivery_columns(item) for item in items]),
    }
    return bool((await session.execute(INSERT_DELIVERIES, values)).scalar_one())


def _delivery_columns(item: NewDelivery) -> JsonObject:
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
