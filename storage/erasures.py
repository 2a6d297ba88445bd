"""Erasing a person: what Tocsin holds of them goes, what it did stays. Called by their route.

The person goes in one transaction, which also records the erasure. Of a person with many notifications the older ones
are blanked before that, in transactions of their own (`storage/batched_erasures.py`).

Locks are taken in the order of a delivery's guard (notification, preferences, queue entry). The recipient's row comes
before these: a transaction that adds a device locks it, so that no device is added to an erased recipient. Digests come
first, as where they are closed.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from models.columns import new_id
from storage import recipients
from storage.database import to_json
from storage.erased_references import choose_replacement_id, hash_idempotency_keys, redact_schedules, rename_digests
from storage.rows import decoded

MIN_ID, MAX_ID = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasureReport:
    id: UUID
    requested_at: datetime
    finished_at: datetime | None
    counts: JsonObject


# Open notifications are canceled, which the guard obeys; the revision fences writers that have read a row before. They
# get the id `replacement_id`. After `erased_at` only rows are left whose ids were lower than others when they were
# committed: the later ids had been committed, and blanked, before.
BLANK_NOTIFICATIONS = text("""
WITH own_notifications AS (
  SELECT id, finished_at IS NULL AND cancel_requested_at IS NULL AS to_cancel
    FROM notification WHERE tenant = :tenant AND recipient_id = :recipient_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR (created_at < :erased_at AND
          (event_payload <> '{}' OR tags <> '{}' OR cancel_key IS NOT NULL OR idempotency_key IS NOT NULL)))
   ORDER BY id FOR UPDATE
), blanked AS (
  UPDATE notification n SET recipient_id = :replacement_id, event_payload = '{}', cancel_key = NULL, tags = '{}',
         idempotency_key = NULL, idempotency_hash = NULL, holds_idempotency_key = false,
         revision = n.revision + 1,
         cancel_requested_at = CASE WHEN n.finished_at IS NULL THEN COALESCE(n.cancel_requested_at, now())
                                    ELSE n.cancel_requested_at END
    FROM own_notifications WHERE n.id = own_notifications.id RETURNING n.id, n.finished_at IS NULL AS open,
    own_notifications.to_cancel
)
SELECT count(*) AS notifications, count(*) FILTER (WHERE open) AS canceled,
       COALESCE(array_agg(id) FILTER (WHERE open), '{}') AS ids,
       COALESCE(array_agg(id) FILTER (WHERE to_cancel), '{}') AS to_cancel FROM blanked
""")
# The workflows of those that have just been cancelled are to be signaled.
REQUEST_CANCEL_SIGNALS = text("""
WITH entry AS (
  SELECT notification_id FROM queue_entry WHERE notification_id = ANY(:ids) ORDER BY notification_id FOR UPDATE
)
UPDATE queue_entry q SET cancel_due = q.cancel_due OR q.notification_id = ANY(:to_cancel),
       recipient_id = CASE WHEN q.recipient_id IS NOT NULL THEN :replacement_id END
  FROM entry WHERE q.notification_id = entry.notification_id
""")

# A callback often quotes the address it is about, and is a row before it is matched.
ERASING_STATEMENTS = {
    "receipts": """
      UPDATE receipt SET raw = '{}' FROM attempt a
       WHERE a.tenant = :tenant AND a.notification_id IN (SELECT id FROM own_notifications) AND receipt.raw <> '{}'
         AND (receipt.attempt_id = a.id
              OR (receipt.provider = a.provider AND receipt.provider_message_id = a.provider_message_id))
      RETURNING receipt.id""",
    # The hashes stay in force: an erasure must not lift a suppression.
    "suppressions": """
      UPDATE suppression SET address = NULL
       WHERE tenant = :tenant AND address IS NOT NULL AND address_hash IN (
             SELECT address_hash FROM attempt WHERE tenant = :tenant AND notification_id IN (SELECT id
                    FROM own_notifications)
             UNION ALL
             SELECT unnest(former_address_hashes || ARRAY(SELECT value FROM jsonb_each_text(address_hashes)))
                    FROM recipient
              WHERE tenant = :tenant AND recipient_id = :recipient_id AND CAST(:erased_at AS timestamptz) IS NULL)
      RETURNING id""",
    "attempts": """
      UPDATE attempt SET provider_response = NULL, address_hash = NULL
       WHERE tenant = :tenant AND notification_id IN (SELECT id FROM own_notifications)
         AND (provider_response IS NOT NULL OR address_hash IS NOT NULL) RETURNING id""",
    "deliveries": """
      UPDATE delivery SET rendered_content = NULL, provider_response = NULL
       WHERE tenant = :tenant AND notification_id IN (SELECT id FROM own_notifications)
         AND (rendered_content IS NOT NULL OR provider_response IS NOT NULL) RETURNING id""",
    # They are sent all the same, and may be replayed.
    "event_messages": """
      UPDATE event_message m SET body = jsonb_set(m.body::jsonb, '{data}', m.body::jsonb->'data'
               || jsonb_build_object('recipient_id', CAST(:replacement_id AS text), 'tags', '[]'::jsonb))::text
        FROM own_notifications WHERE m.notification_id = own_notifications.id AND EXISTS (SELECT 1 FROM event_endpoint
        WHERE tenant = :tenant)
         AND (m.body::jsonb->'data'->>'recipient_id', m.body::jsonb->'data'->'tags') <> (:replacement_id, '[]'::jsonb)
      RETURNING m.id""",
    "inbox_messages": "DELETE FROM inbox_message WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING id",
    "sandbox_messages": """
      DELETE FROM sandbox_message WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING id""",
    "subscriptions": """
      DELETE FROM topic_subscriber WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING topic""",
    # What was for them alone has nothing more to do, and nothing more to say.
    "schedules": """
      UPDATE schedule SET updated_at = now(),
             spec = CASE WHEN spec->>'recipient_id' = CAST(:recipient_id AS text)
                           OR spec->'recipients' = jsonb_build_array(CAST(:recipient_id AS text))
                         THEN (spec - 'recipient_id') || '{"recipients": [], "payload": {}, "tags": []}'
                         ELSE jsonb_set(spec, '{recipients}', (spec->'recipients') - CAST(:recipient_id AS text)) END
       WHERE tenant = :tenant AND deleted_at IS NULL
         AND (spec->>'recipient_id' = CAST(:recipient_id AS text) OR spec->'recipients' ? CAST(:recipient_id AS text))
      RETURNING id""",
    "schedule_turns": """
      DELETE FROM schedule_occurrence t USING schedule s WHERE s.id = t.schedule_id AND t.tenant = :tenant
         AND (t.recipient_id = :recipient_id OR s.spec->'recipients' = '[]') RETURNING t.schedule_id""",
    "devices": "DELETE FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING id",
    "preferences": "DELETE FROM user_preference WHERE tenant = :tenant AND user_id = :recipient_id RETURNING user_id",
    "profiles": "DELETE FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING recipient_id",
}
NOTIFICATION_STEPS = ("receipts", "suppressions", "attempts", "deliveries", "event_messages")
# After NOTIFICATIONS. Those accepted after `erased_at` belong to a new recipient with the same id.
OWN_NOTIFICATIONS = """own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
)"""
ERASURE_STEPS = {
    row_kind: text(f"WITH {OWN_NOTIFICATIONS}, deleted AS ({statement}) SELECT count(DISTINCT deleted) FROM deleted")  # noqa: S608
    for row_kind, statement in ERASING_STATEMENTS.items()
}

# Of a part of the notifications.
DELETE_INBOX_MESSAGES = text(f"""
WITH {OWN_NOTIFICATIONS}, deleted AS (
  DELETE FROM inbox_message WHERE notification_id IN (SELECT id FROM own_notifications) RETURNING id)
SELECT count(*) FROM deleted
""")  # noqa: S608 - constants of our own

INSERT_ERASURE = text("""
INSERT INTO erasure (id, tenant, requested_at, finished_at, counts)
VALUES (:id, :tenant, now(), clock_timestamp(), CAST(:counts AS jsonb))
RETURNING id, requested_at, finished_at, counts
""")
SELECT_ERASURE = text("SELECT id, requested_at, finished_at, counts FROM erasure WHERE tenant = :tenant AND id = :id")


async def erase_at_once(session: AsyncSession, tenant: UUID, recipient_id: str) -> ErasureReport | None:
    """Erase the person at once. None for an unknown person."""
    profile = await recipients.find(session, tenant, recipient_id)
    if profile is None:
        return None
    id = new_id()
    replacement_id = choose_replacement_id(profile, id)
    values: JsonObject = {
        "tenant": tenant,
        "recipient_id": recipient_id,
        "replacement_id": replacement_id,
        "after": MIN_ID,
    }
    counts = await erase_recipient(session, values)
    if not counts:
        return None
    record = {"id": id, "tenant": tenant, "counts": to_json(counts)}
    return erasure_of((await session.execute(INSERT_ERASURE, record)).mappings().one())


async def erase_recipient(session: AsyncSession, values: JsonObject) -> Counter[str]:
    """Erase the person with all notifications behind `after`. Return no counts if there is none."""
    values = {**values, "until": MAX_ID, "erased_at": None, "limit": None}
    await rename_digests(session, values)
    profile = await recipients.find(session, values["tenant"], values["recipient_id"], lock=True)
    if profile is None:
        return Counter()
    # Before the notifications: the key may be held by one of another recipient, who may be erased at the same time.
    await hash_idempotency_keys(session, values["tenant"], profile)
    is_renamed = values["replacement_id"] != values["recipient_id"]
    counts = await _blank_and_cancel(session, {**values, "after": MIN_ID} if is_renamed else values)
    await redact_schedules(session, values["tenant"], profile)
    for row_kind, statement in ERASURE_STEPS.items():
        counts[row_kind] = (await session.execute(statement, values)).scalar_one()
    # Again: items that were locked until now may have opened one.
    await rename_digests(session, values)
    return counts


async def blank_notifications(session: AsyncSession, values: JsonObject) -> Counter[str]:
    """Blank and cancel notifications behind `after` up to `until`, and blank what belongs to them. Rename up to `limit`
    digests: there are fewer than notifications."""
    await rename_digests(session, values)
    counts = await _blank_and_cancel(session, values)
    counts["inbox_messages"] = (await session.execute(DELETE_INBOX_MESSAGES, values)).scalar_one()
    for row_kind in NOTIFICATION_STEPS:
        counts[row_kind] = (await session.execute(ERASURE_STEPS[row_kind], values)).scalar_one()
    return counts


async def _blank_and_cancel(session: AsyncSession, values: JsonObject) -> Counter[str]:
    row = dict((await session.execute(BLANK_NOTIFICATIONS, values)).mappings().one())
    entries = {"ids": row.pop("ids"), "to_cancel": row.pop("to_cancel"), "replacement_id": values["replacement_id"]}
    await session.execute(REQUEST_CANCEL_SIGNALS, entries)
    return Counter(row)


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> ErasureReport | None:
    row = (await session.execute(SELECT_ERASURE, {"tenant": tenant, "id": id})).mappings().one_or_none()
    return None if row is None else erasure_of(row)


def erasure_of(row: Any) -> ErasureReport:
    return ErasureReport(**{**row, "counts": decoded(row["counts"])})
