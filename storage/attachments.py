"""Store attachments of emails, find and read them, and record which notifications use them.

A transaction that adds a file to a tenant, or deletes the last one with a content, locks the row of the tenant first:
no content is deleted while another file is to share it. Then it locks files in the order of their ids.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from domain.clock import now
from models.columns import new_id
from storage.statements import Executor, statement

# Counted for each file in addition to its content, so that a tenant cannot store any number of small ones.
ROW_SIZE = 4_000
# `last_used_at` may be so much earlier than the last use.
USE_PRECISION = timedelta(hours=1)

LOCK_TENANT = statement("attachments/lock_tenant")
INSERT_CHUNK = statement("attachments/insert_chunk")
RENEW_SAME = statement("attachments/renew_same")
MEASURE_STORED = statement("attachments/measure_stored")
NAME_CONTENT = text("UPDATE attachment_chunk SET sha256 = :sha256 WHERE tenant = :tenant AND sha256 = :upload")
DELETE_UPLOAD = text("DELETE FROM attachment_chunk WHERE tenant = :tenant AND sha256 = :upload")
INSERT = statement("attachments/insert")
SELECT_SEVERAL = statement("attachments/select_several")
SELECT_CONTENT = statement("attachments/select_content")
RECORD_USES = statement("attachments/record_uses")
RENEW_USED = statement("attachments/renew_used")
# Of an upload, which waits for its client and holds no lock that others wait for.
ALLOW_IDLING = text("SELECT set_config('idle_in_transaction_session_timeout', CAST(:milliseconds AS text), true)")
END_IDLING = text("SET LOCAL idle_in_transaction_session_timeout TO DEFAULT")


class TooManyBytesStored(Exception):
    """The tenant would store more bytes of attachments than it may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAttachment:
    """One file. `sha256` is the hash of its content in hexadecimal digits."""

    id: UUID
    name: str
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    last_used_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedContent:
    """A content whose chunks are stored under the name `upload` until its hash is known."""

    upload: str
    sha256: str
    size: int


async def allow_idling(session: Executor, seconds: float) -> None:
    """Let the transaction wait up to `seconds` for each chunk, until `save` begins."""
    await session.execute(ALLOW_IDLING, {"milliseconds": f"{seconds * 1_000:.0f}"})


async def add_chunk(session: Executor, tenant: UUID, upload: str, position: int, data: bytes) -> None:
    await session.execute(INSERT_CHUNK, {"tenant": tenant, "upload": upload, "position": position, "data": data})


async def save(
    session: Executor, tenant: UUID, name: str, content_type: str, content: ReceivedContent, max_bytes: int
) -> tuple[StoredAttachment, bool]:
    """Name the chunks after their hash and store the file. Return it, and whether it is new.

    A file with the same content, name and type is the same one. Raise TooManyBytesStored if the files of the tenant
    would have more than `max_bytes`; 0 is no limit."""
    await session.execute(END_IDLING)
    await session.execute(LOCK_TENANT, {"tenant": tenant})
    upload = {"tenant": tenant, "upload": content.upload}
    values = {"tenant": tenant, "sha256": content.sha256, "name": name, "content_type": content_type, "at": now()}
    same = (await session.execute(RENEW_SAME, values)).mappings().one_or_none()
    if same is not None:
        await session.execute(DELETE_UPLOAD, upload)
        return StoredAttachment(**same), False
    measured = {"tenant": tenant, "sha256": content.sha256, "row_size": ROW_SIZE}
    before = (await session.execute(MEASURE_STORED, measured)).mappings().one()
    if 0 < max_bytes < before["stored"] + ROW_SIZE + (0 if before["has_content"] else content.size):
        raise TooManyBytesStored
    if before["has_content"]:
        await session.execute(DELETE_UPLOAD, upload)
    else:
        await session.execute(NAME_CONTENT, {**upload, "sha256": content.sha256})
    row = (await session.execute(INSERT, {**values, "id": new_id(), "size": content.size})).mappings().one()
    return StoredAttachment(**row), True


async def find_attachments(session: Executor, tenant: UUID, ids: Collection[UUID]) -> dict[UUID, StoredAttachment]:
    """Return the attachments by id, without those that the tenant does not have."""
    rows = (await session.execute(SELECT_SEVERAL, {"tenant": tenant, "ids": list(ids)})).mappings()
    return {row["id"]: StoredAttachment(**row) for row in rows}


async def record_uses(
    session: Executor, tenant: UUID, uses: Mapping[UUID, Collection[UUID]], at: datetime | None = None
) -> set[UUID]:
    """Record the attachments of notifications, as `{notification id: attachment ids}`. Return the ids that are missing.

    Call it in the transaction that accepts the notifications, after all of them are inserted: then recipients are
    locked before attachments, as elsewhere. Roll back, or accept without them, if any is missing. None of the others is
    deleted before the notifications have finished."""
    pairs = [(attachment, notification) for notification, ids in uses.items() for attachment in ids]
    values = {
        "tenant": tenant,
        "attachment_ids": [attachment for attachment, _ in pairs],
        "notification_ids": [notification for _, notification in pairs],
        "at": at or now(),
        "precision": USE_PRECISION.total_seconds(),
    }
    found = set((await session.execute(RECORD_USES, values)).scalars()) if pairs else set[UUID]()
    return {attachment for attachment, _ in pairs} - found


async def renew_used(session: Executor, tenant: UUID, notification_ids: Sequence[UUID]) -> None:
    """Keep the attachments of notifications that are sent again."""
    values = {"tenant": tenant, "notification_ids": list(notification_ids), "at": now()}
    await session.execute(RENEW_USED, values)


async def read_content(session: Executor, tenant: UUID, id: UUID) -> bytes | None:
    """Return the whole content, at most 10 MB, or None if the tenant has no such attachment."""
    chunks = list((await session.execute(SELECT_CONTENT, {"tenant": tenant, "id": id})).scalars())
    return b"".join(chunks) if chunks else None
