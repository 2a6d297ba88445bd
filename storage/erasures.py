"""Erase a recipient: their data is deleted, the history of their notifications stays. Called by the route.

One transaction erases the recipient and records the erasure. With many notifications, `dispatch/erasures.py` first
blanks, cancels and, if the recipient id is an address, renames them in batches, from the oldest on; the last of these
batches erases the recipient. A second pass blanks what calls in flight have recorded since, and what was accepted with
an id that the first had passed. The cursor moves in the transaction of its batch, and `finished_at` is written last:
another process continues where one has stopped.

Locks are taken in the order of a delivery's guard (notification, preferences, queue entry). The recipient's row comes
before these: a transaction that adds a device locks it, so that no device is added to an erased recipient. Digests come
first, as where they are closed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from domain.names import DISPATCH_CHANNEL, ERASURE_DUE
from models.columns import new_id
from storage import recipients
from storage.database import to_json
from storage.erased_references import choose_replacement_id, hash_idempotency_keys, redact_schedules, rename_digests
from storage.rows import decoded
from storage.statements import statement

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
BLANK_NOTIFICATIONS = statement("erasures/blank_notifications")
# The workflows of those that have just been cancelled are to be signaled.
REQUEST_CANCEL_SIGNALS = text("""
WITH entry AS (
  SELECT notification_id FROM queue_entry WHERE notification_id = ANY(:ids) ORDER BY notification_id FOR UPDATE
)
UPDATE queue_entry q SET cancel_due = q.cancel_due OR q.notification_id = ANY(:to_cancel),
       recipient_id = CASE WHEN q.recipient_id IS NOT NULL THEN :replacement_id END
  FROM entry WHERE q.notification_id = entry.notification_id
""")

NOTIFICATION_STEPS = ("receipts", "suppressions", "attempts", "deliveries", "event_messages")
# After NOTIFICATIONS. Those accepted after `erased_at` belong to a new recipient with the same id.
ERASURE_STEPS = {
    "receipts": statement("erasures/erase_receipts"),
    "suppressions": statement("erasures/erase_suppressions"),
    "attempts": statement("erasures/erase_attempts"),
    "deliveries": statement("erasures/erase_deliveries"),
    "event_messages": statement("erasures/erase_event_messages"),
    "inbox_messages": statement("erasures/erase_inbox_messages"),
    "sandbox_messages": statement("erasures/erase_sandbox_messages"),
    "subscriptions": statement("erasures/erase_subscriptions"),
    "schedules": statement("erasures/erase_schedules"),
    "schedule_occurrences": statement("erasures/erase_schedule_occurrences"),
    "devices": statement("erasures/erase_devices"),
    "preferences": statement("erasures/erase_preferences"),
    "profiles": statement("erasures/erase_profiles"),
}

# Of a part of the notifications.
DELETE_INBOX_MESSAGES = statement("erasures/delete_inbox_messages")

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
    for row_kind, step in ERASURE_STEPS.items():
        counts[row_kind] = (await session.execute(step, values)).scalar_one()
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


BATCH_SIZE = 500  # notifications; a recipient with fewer is erased at once

# Or has had: an erasure under way has given another id to some of them.
EXCEEDS_LIMIT = text("""
SELECT count(*) > :limit OR EXISTS (
         SELECT 1 FROM erasure WHERE tenant = :tenant AND recipient_id = :recipient_id AND finished_at IS NULL
            AND erased_at IS NULL)
  FROM (SELECT 1 FROM notification WHERE tenant = :tenant AND recipient_id = :recipient_id LIMIT :limit + 1) counted
""")
# Asked for twice it is the same, as long as the recipient is there.
INSERT_BATCHED_ERASURE = text("""
WITH begun AS (
  INSERT INTO erasure (id, tenant, requested_at, counts, recipient_id, replacement_id, after, last_batch_at)
  VALUES (:id, :tenant, now(), '{}', :recipient_id, :replacement_id, :after, now())
  ON CONFLICT (tenant, recipient_id) WHERE finished_at IS NULL AND erased_at IS NULL
  DO UPDATE SET last_batch_at = EXCLUDED.last_batch_at
  RETURNING id, requested_at, finished_at, counts
)
SELECT id, requested_at, finished_at, counts, pg_notify(:channel, :due)::text AS notified FROM begun
""")
LOCK_NEXT = statement("erasures/lock_next")
POSTPONE_FAILED = statement("erasures/postpone_failed")
SELECT_BATCH = text("""
SELECT id FROM notification WHERE tenant = :tenant AND recipient_id = :recipient_id AND id > :after
   AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at) ORDER BY id LIMIT :limit
""")
SAVE_PROGRESS = text("""
UPDATE erasure SET after = :after, counts = CAST(:counts AS jsonb), last_batch_at = clock_timestamp(), failures = 0,
       erased_at = COALESCE(erased_at, CASE WHEN :erased THEN now() END),
       recipient_id = CASE WHEN :erased THEN replacement_id ELSE recipient_id END
 WHERE id = :id
""")
FINISH_ERASURE = text("""
UPDATE erasure SET finished_at = clock_timestamp(), counts = CAST(:counts AS jsonb), recipient_id = NULL,
       replacement_id = NULL, after = NULL
 WHERE id = :id
""")


async def begin_erasure(
    session: AsyncSession, tenant: UUID, recipient_id: str, limit: int = BATCH_SIZE
) -> ErasureReport | None:
    """Erase the recipient; one with more than `limit` notifications is erased in batches later. None for an unknown
    recipient."""
    profile = await recipients.find(session, tenant, recipient_id)
    if profile is None:
        return None
    values: JsonObject = {"tenant": tenant, "recipient_id": recipient_id}
    if not (await session.execute(EXCEEDS_LIMIT, {**values, "limit": limit})).scalar_one():
        return await erase_at_once(session, tenant, recipient_id)
    id = new_id()
    values |= {"id": id, "replacement_id": choose_replacement_id(profile, id), "after": MIN_ID}
    notify = {"channel": DISPATCH_CHANNEL, "due": ERASURE_DUE}
    row = (await session.execute(INSERT_BATCHED_ERASURE, {**values, **notify})).mappings().one()
    return erasure_of({name: value for name, value in row.items() if name != "notified"})


async def erase_next_batch(session: AsyncSession, limit: int = BATCH_SIZE) -> bool:
    """Do the next batch of the erasure that was served longest ago. False if there is none."""
    row = (await session.execute(LOCK_NEXT)).mappings().one_or_none()
    if row is None:
        return False
    values: JsonObject = {
        name: row[name] for name in ("tenant", "recipient_id", "replacement_id", "after", "erased_at")
    }
    values["limit"] = limit
    ids = (await session.execute(SELECT_BATCH, values)).scalars().all()
    is_last = len(ids) < limit
    counts = Counter(decoded(row["counts"]))
    counts.update(await _erase_batch(session, values, ids, is_last=is_last))
    progress: JsonObject = {"id": row["id"], "counts": to_json(counts)}
    if is_last and row["erased_at"] is not None:
        await session.execute(FINISH_ERASURE, progress)
    else:
        await session.execute(SAVE_PROGRESS, {**progress, "after": MIN_ID if is_last else ids[-1], "erased": is_last})
    return True


async def postpone_failed(session: AsyncSession) -> None:
    """Let other erasures pass the one whose batch has just failed: it is still the first."""
    await session.execute(POSTPONE_FAILED)


async def _erase_batch(
    session: AsyncSession, values: JsonObject, ids: Sequence[UUID], *, is_last: bool
) -> Counter[str]:
    if values["erased_at"] is None and is_last:
        return await erase_recipient(session, values)
    if not ids:
        return Counter()
    return await blank_notifications(session, {**values, "until": ids[-1]})
