"""Delete attachments: old ones in batches, called by `dispatch/pruning.py`, and those of an erased recipient.

Files are locked against new uses, and the tenant against new files, before a statement looks for those that remain."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from domain.cursors import MIN_ID
from domain.json_types import Json
from storage.attachments import LOCK_TENANT, USE_PRECISION
from storage.retention import record_pruned
from storage.statements import Executor, statement

BATCH_SIZE = 20  # files of up to 10 MB
USES_PAGE = 1_000

LOCK_TENANT_WITH_OLD = statement("attachment_removal/lock_tenant_with_old")
DELETE_OLD = statement("attachment_removal/delete_old")
DELETE_CHUNKS = statement("attachment_removal/delete_chunks")
SELECT_USED = statement("attachment_removal/select_used")
LOCK_SEVERAL = statement("attachment_removal/lock_several")
ERASE_UNSHARED = statement("attachment_removal/erase_unshared")


async def prune(
    session: Executor, at: datetime, max_age: timedelta, limit: int = BATCH_SIZE, page: int = USES_PAGE
) -> int:
    """Examine up to `limit` files of one tenant whose last use is older than `max_age`. Return how many there were.

    A file is deleted if no open notification uses it. One with at least `page` uses is examined in several batches."""
    cutoff = at - max_age - USE_PRECISION
    tenant = (await session.execute(LOCK_TENANT_WITH_OLD, {"cutoff": cutoff})).scalar_one_or_none()
    if tenant is None:
        return 0
    values = {"tenant": tenant, "cutoff": cutoff, "at": at, "limit": limit, "page": page, "first": MIN_ID}
    row = (await session.execute(DELETE_OLD, values)).mappings().one()
    await _delete_chunks(session, tenant, row["hashes"])
    await record_pruned(session, "attachment", row["deleted"])
    return int(row["examined"])


async def erase_unshared(session: Executor, values: Json) -> int:
    """Delete the files that only erased notifications use: those of `replacement_id` up to `until`. Return how many.

    `values` are those of the erasure's other statements."""
    ids = list((await session.execute(SELECT_USED, values)).scalars())
    if not ids:
        return 0
    await session.execute(LOCK_TENANT, {"tenant": values["tenant"]})
    await session.execute(LOCK_SEVERAL, {"tenant": values["tenant"], "ids": ids})
    hashes = list((await session.execute(ERASE_UNSHARED, {**values, "ids": ids})).scalars())
    await _delete_chunks(session, values["tenant"], hashes)
    return len(hashes)


async def _delete_chunks(session: Executor, tenant: UUID, hashes: Sequence[str]) -> None:
    if hashes:
        await session.execute(DELETE_CHUNKS, {"tenant": tenant, "hashes": list(hashes)})
