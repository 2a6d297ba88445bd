"""Erasing a recipient with many notifications, a batch at a time: begun by the route, continued by
`dispatch/erasures.py`.

First the notifications are blanked, canceled and, if the recipient id is an address, renamed, from the oldest on. The
last of these batches erases the recipient. Then a second pass blanks what calls that were under way have recorded
since, and what was accepted with an id that the first had passed. The place moves in the transaction of its batch, and
`finished_at` is written last: another process continues where one has stopped.
"""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from domain.names import DISPATCH_CHANNEL, ERASURE_DUE
from models.columns import new_id
from storage import erasures, recipients
from storage.database import to_json
from storage.erased_references import choose_replacement_id
from storage.erasures import MIN_ID, ErasureReport
from storage.rows import decoded
from storage.statements import statement

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
        return await erasures.erase_at_once(session, tenant, recipient_id)
    id = new_id()
    values |= {"id": id, "replacement_id": choose_replacement_id(profile, id), "after": MIN_ID}
    notify = {"channel": DISPATCH_CHANNEL, "due": ERASURE_DUE}
    row = (await session.execute(INSERT_BATCHED_ERASURE, {**values, **notify})).mappings().one()
    return erasures.erasure_of({name: value for name, value in row.items() if name != "notified"})


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
        return await erasures.erase_recipient(session, values)
    if not ids:
        return Counter()
    return await erasures.blank_notifications(session, {**values, "until": ids[-1]})
