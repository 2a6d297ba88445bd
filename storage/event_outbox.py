"""Insert messages for a tenant's event endpoints. The statement that writes status events inserts theirs, so that both
exist or neither does."""

import json
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.json_types import JsonObject
from domain.names import EVENTS_CHANNEL
from storage.statements import notify

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
