"""Insert messages for a tenant's event endpoints. The statement that writes status events inserts theirs, so that both
exist or neither does."""

import json
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.event_webhooks import ALL_EVENTS, EVENT_PREFIX
from domain.json_types import JsonObject
from domain.names import EVENTS_CHANNEL
from storage.statements import notify

ENDPOINT_DISABLED = "endpoint_disabled"

# A part of a statement that has `fenced` (rows of `notification` as they are now) and `events` (those it wrote of
# them). An index look-up for a tenant without endpoints. What comes while an endpoint is disabled is kept, not sent.
# The body is made once, here: every try sends these bytes. It names ids and facts, never addresses or content.
INSERT_EVENT_MESSAGES = f"""written_messages AS (
  INSERT INTO event_message (id, tenant, endpoint_id, notification_id, event_id, kind, occurred_at, body, attempt_count,
         next_attempt_at, given_up_at, last_error, attempts)
  SELECT CAST(left(encode(sha256(convert_to(concat(e.id, p.id), 'UTF8')), 'hex'), 32) AS uuid), p.tenant, p.id, n.id,
         e.id, k.kind, e.at,
         json_build_object('type', k.kind, 'timestamp',
           to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', json_build_object(
             'notification_id', n.id, 'notification_type', n.notification_type, 'recipient_id', n.recipient_id,
             'status', e.status, 'channel', e.channel,
             'reason', CASE WHEN e.status = n.status THEN n.failure_reason
               ELSE concat_ws(': ', e.reason, e.detail->>'cause') END,
             'category', CASE WHEN e.status = n.status THEN n.failure_category END,
             'reported_by', e.detail->>'reported_by', 'tags', n.tags))::text,
         0, CASE WHEN p.enabled THEN now() END, CASE WHEN NOT p.enabled THEN now() END,
         CASE WHEN NOT p.enabled THEN '{ENDPOINT_DISABLED}' END, '[]'
    FROM fenced n
    JOIN event_endpoint p ON p.tenant = n.tenant AND p.deleted_at IS NULL
    JOIN events e ON e.notification_id = n.id AND e.status <> 'PENDING'
   CROSS JOIN LATERAL (SELECT '{EVENT_PREFIX}' || lower(e.status) AS kind) k
   WHERE p.events && ARRAY['{ALL_EVENTS}', k.kind]
  ON CONFLICT (id) DO NOTHING RETURNING next_attempt_at
)"""  # noqa: S608 - constants of our own
# What such a statement selects of `fenced`, `events` and their likes, to have them posted as soon as it is committed.
FENCED_COLUMNS = "id, tenant, recipient_id, notification_type, tags, status, failure_reason, created_at"
EVENT_COLUMNS = "id, notification_id, at, status, channel, reason, detail"
NOTIFY_IF_DUE = (
    f"(SELECT pg_notify('{EVENTS_CHANNEL}', '')::text FROM written_messages WHERE next_attempt_at IS NOT NULL LIMIT 1)"  # noqa: S608
)

INSERT_MESSAGES = text("""
INSERT INTO event_message (id, tenant, endpoint_id, kind, occurred_at, body, attempt_count, next_attempt_at, attempts)
SELECT gen_random_uuid(), tenant, id, :kind, :at, :body, 0, now(), '[]'
  FROM event_endpoint WHERE id = ANY(:endpoints) AND enabled
RETURNING id
""")


async def enqueue_messages(session: AsyncSession, endpoints: list[UUID], kind: str, data: JsonObject) -> list[UUID]:
    """Insert a message to each of these endpoints that is enabled, whatever events it subscribes to. Return the ids."""
    at = now()
    timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json.dumps({"type": kind, "timestamp": timestamp, "data": data}, ensure_ascii=False)
    values = {"endpoints": endpoints, "kind": kind, "at": at, "body": body}
    message_ids = list((await session.execute(INSERT_MESSAGES, values)).scalars())
    await notify(session, EVENTS_CHANNEL)
    return message_ids
