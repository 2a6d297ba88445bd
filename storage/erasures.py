"""Erasing a person: what Tocsin holds of them goes, what it did stays. Called by their route.

The person goes in one transaction, which also records the erasure. Of a person with many notifications the older ones
are blanked before that, in transactions of their own (`storage/large_erasures.py`).

Locks are taken in the order of a delivery's guard (notification, preferences, queue entry). The person's row comes
first: whoever is just adding a device holds it, and nobody can add to a person who is gone.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from models.columns import new_id
from storage import recipients
from storage.database import to_json
from storage.rows import Json, decoded

FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    id: UUID
    requested_at: datetime
    finished_at: datetime | None
    counts: Json


# Open ones are cancelled, which the guard obeys; the revision fences whoever has read a row before.
NOTIFICATIONS = text("""
WITH mine AS (
  SELECT id, finished_at IS NULL AND cancel_requested_at IS NULL AS to_cancel
    FROM notification WHERE tenant = :tenant AND recipient_id = :recipient_id AND id > :after AND id <= :until
   ORDER BY id FOR UPDATE
), blanked AS (
  UPDATE notification n SET event_payload = '{}', cancel_key = NULL,
         revision = n.revision + 1,
         cancel_requested_at = CASE WHEN n.finished_at IS NULL THEN COALESCE(n.cancel_requested_at, now())
                                    ELSE n.cancel_requested_at END
    FROM mine WHERE n.id = mine.id RETURNING n.id, n.finished_at IS NULL AS open, mine.to_cancel
)
SELECT count(*) AS notifications, count(*) FILTER (WHERE open) AS canceled,
       COALESCE(array_agg(id) FILTER (WHERE to_cancel), '{}') AS to_cancel FROM blanked
""")
# The workflows of those that have just been cancelled are to be signaled.
SIGNAL = text("""
WITH entry AS (
  SELECT notification_id FROM queue_entry WHERE notification_id = ANY(:ids) ORDER BY notification_id FOR UPDATE
)
UPDATE queue_entry q SET cancel_due = true FROM entry WHERE q.notification_id = entry.notification_id
""")

# A callback often quotes the address it is about, and is a row before it is matched.
BLANK = {
    "receipts": """
      UPDATE receipt SET raw = '{}' FROM attempt a
       WHERE a.tenant = :tenant AND a.notification_id IN (SELECT id FROM mine) AND receipt.raw <> '{}'
         AND (receipt.attempt_id = a.id
              OR (receipt.provider = a.provider AND receipt.provider_message_id = a.provider_message_id))
      RETURNING receipt.id""",
    # The keys stay in force: nobody is written to again because they were forgotten.
    "suppressions": """
      UPDATE suppression SET address = NULL
       WHERE tenant = :tenant AND address IS NOT NULL AND address_key IN (
             SELECT address_key FROM attempt WHERE tenant = :tenant AND notification_id IN (SELECT id FROM mine)
             UNION ALL
             SELECT jsonb_each_text.value FROM recipient, jsonb_each_text(address_keys)
              WHERE tenant = :tenant AND recipient_id = :recipient_id AND CAST(:erased_at AS timestamptz) IS NULL)
      RETURNING id""",
    "attempts": """
      UPDATE attempt SET provider_response = NULL, address_key = NULL
       WHERE tenant = :tenant AND notification_id IN (SELECT id FROM mine)
         AND (provider_response IS NOT NULL OR address_key IS NOT NULL) RETURNING id""",
    "deliveries": """
      UPDATE delivery SET rendered_content = NULL, provider_response = NULL
       WHERE tenant = :tenant AND notification_id IN (SELECT id FROM mine)
         AND (rendered_content IS NOT NULL OR provider_response IS NOT NULL) RETURNING id""",
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
                         THEN (spec - 'recipient_id') || '{"recipients": [], "payload": {}}'
                         ELSE jsonb_set(spec, '{recipients}', (spec->'recipients') - CAST(:recipient_id AS text)) END
       WHERE tenant = :tenant AND deleted_at IS NULL
         AND (spec->>'recipient_id' = CAST(:recipient_id AS text) OR spec->'recipients' ? CAST(:recipient_id AS text))
      RETURNING id""",
    "schedule_turns": """
      DELETE FROM schedule_turn t USING schedule s WHERE s.id = t.schedule_id AND t.tenant = :tenant
         AND (t.recipient_id = :recipient_id OR s.spec->'recipients' = '[]') RETURNING t.schedule_id""",
    "devices": "DELETE FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING id",
    "preferences": "DELETE FROM user_preference WHERE tenant = :tenant AND user_id = :recipient_id RETURNING user_id",
    "profiles": "DELETE FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING recipient_id",
}
OF_NOTIFICATIONS = ("receipts", "suppressions", "attempts", "deliveries")
# Those accepted after `erased_at` are somebody else's, who has the same id now.
MINE = """mine AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :recipient_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
)"""
STEPS = {
    kind: text(f"WITH {MINE}, gone AS ({statement}) SELECT count(DISTINCT gone) FROM gone")  # noqa: S608
    for kind, statement in BLANK.items()
}

# Of a part of the notifications.
INBOX = text(f"""
WITH {MINE}, gone AS (DELETE FROM inbox_message WHERE notification_id IN (SELECT id FROM mine) RETURNING id)
SELECT count(*) FROM gone
""")  # noqa: S608 - constants of our own

RECORD = text("""
INSERT INTO erasure (id, tenant, requested_at, finished_at, counts)
VALUES (:id, :tenant, now(), clock_timestamp(), CAST(:counts AS jsonb))
RETURNING id, requested_at, finished_at, counts
""")
FIND = text("SELECT id, requested_at, finished_at, counts FROM erasure WHERE tenant = :tenant AND id = :id")


async def erase(session: AsyncSession, tenant: UUID, recipient_id: str) -> Erasure | None:
    """Erase the person at once. None for an unknown person."""
    if await recipients.find(session, tenant, recipient_id, lock=True) is None:
        return None
    counts = await erase_rest(session, tenant, recipient_id, FIRST)
    record = {"id": new_id(), "tenant": tenant, "counts": to_json(counts)}
    return erasure_of((await session.execute(RECORD, record)).mappings().one())


async def erase_rest(session: AsyncSession, tenant: UUID, recipient_id: str, after: UUID) -> Counter[str]:
    """Erase the person with all notifications behind `after`, if there still is one."""
    if await recipients.find(session, tenant, recipient_id, lock=True) is None:
        return Counter()
    values: Json = {"tenant": tenant, "recipient_id": recipient_id, "after": after, "until": LAST, "erased_at": None}
    counts = await _cancel(session, values)
    for kind, statement in STEPS.items():
        counts[kind] = (await session.execute(statement, values)).scalar_one()
    return counts


async def blank(session: AsyncSession, values: Json) -> Counter[str]:
    """Blank and cancel notifications behind `after` up to `until`, and blank what belongs to them."""
    counts = await _cancel(session, values)
    counts["inbox_messages"] = (await session.execute(INBOX, values)).scalar_one()
    counts.update(await blank_records(session, values))
    return counts


async def blank_records(session: AsyncSession, values: Json) -> Counter[str]:
    """Blank what belongs to these notifications."""
    return Counter({kind: (await session.execute(STEPS[kind], values)).scalar_one() for kind in OF_NOTIFICATIONS})


async def _cancel(session: AsyncSession, values: Json) -> Counter[str]:
    row = dict((await session.execute(NOTIFICATIONS, values)).mappings().one())
    await session.execute(SIGNAL, {"ids": row.pop("to_cancel")})
    return Counter(row)


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> Erasure | None:
    row = (await session.execute(FIND, {"tenant": tenant, "id": id})).mappings().one_or_none()
    return None if row is None else erasure_of(row)


def erasure_of(row: Any) -> Erasure:
    return Erasure(**{**row, "counts": decoded(row["counts"])})
