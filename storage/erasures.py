"""Erase a recipient: their data is deleted, the history of their notifications stays. Called by the route.

One transaction erases the recipient and records the erasure. With many notifications, `dispatch/large_changes.py` first
blanks, cancels and, if the recipient id is an address, renames them in batches, from the oldest on; the last of these
batches erases the recipient. A second pass blanks what calls in flight have recorded since, and what was accepted with
an id that the first had passed. The cursor moves in the transaction of its batch, and `finished_at` is written last:
another process continues where one has stopped.

Locks are taken in the order of a delivery's guard (notification, preferences, queue entry). The recipient's row comes
before these: a transaction that adds a device locks it, so that no device is added to an erased recipient. Digests come
first, as where they are closed."""

import re
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import RowMapping, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.cursors import MIN_ID
from domain.json_types import Json
from domain.names import DISPATCH_CHANNEL, ERASURE_DUE
from domain.redaction import MIN_QUOTE_LENGTH, choose_replacement_id, redact
from models.columns import new_id
from models.erasures import Erasure
from models.notifications import Notification
from storage import acceptance, attachment_removal, recipients
from storage.database import to_json
from storage.recipients import RecipientProfile
from storage.statements import decoded, notify, statement

BATCH_SIZE = 500  # notifications; a recipient with fewer is erased at once
MAX_ID = UUID(int=2**128 - 1)

# Open notifications are canceled, which the guard obeys; the revision fences writers that have read a row before. They
# get the id `replacement_id`. After `erased_at` only rows are left whose ids were lower than others when they were
# committed: the later ids had been committed, and blanked, before.
BLANK_NOTIFICATIONS = statement("erasures/blank_notifications")
# The workflows of notifications that have just been canceled are to be signaled.
REQUEST_CANCEL_SIGNALS = statement("erasures/request_cancel_signals")

NOTIFICATION_STEPS = ("receipts", "suppressions", "attempts", "deliveries", "event_messages")
# After NOTIFICATIONS. Those accepted after `erased_at` belong to a new recipient with the same id.
ERASURE_STEPS = {
    "receipts": statement("erasures/erase_receipts"),
    "suppressions": statement("erasures/erase_suppressions"),
    "attempts": statement("erasures/erase_attempts"),
    "deliveries": statement("erasures/erase_deliveries"),
    "event_messages": statement("erasures/erase_event_messages"),
    "inbox_messages": statement("erasures/erase_inbox_messages"),
    "inbound_messages": statement("erasures/erase_inbound_messages"),
    "sandbox_messages": statement("erasures/erase_sandbox_messages"),
    "subscriptions": statement("erasures/erase_subscriptions"),
    "schedules": statement("erasures/erase_schedules"),
    "schedule_occurrences": statement("erasures/erase_schedule_occurrences"),
    "devices": statement("erasures/erase_devices"),
    "preferences": statement("erasures/erase_preferences"),
    "profiles": statement("erasures/erase_profiles"),
}

# Deletes those of one batch of notifications.
DELETE_INBOX_MESSAGES = statement("erasures/delete_inbox_messages")
# Also true while an erasure is under way, which has given another id to some notifications.
EXCEEDS_LIMIT = statement("erasures/exceeds_limit")
LOCK_NEXT = statement("erasures/lock_next")
POSTPONE_FAILED = statement("erasures/postpone_failed")


async def erase_at_once(session: AsyncSession, tenant: UUID, recipient_id: str) -> Erasure | None:
    """Erase the recipient at once. Return None for an unknown recipient."""
    profile = await recipients.find(session, tenant, recipient_id)
    if profile is None:
        return None
    id = new_id()
    replacement_id = choose_replacement_id(*_quoted_values(profile), erasure=id)
    values: Json = {"tenant": tenant, "recipient_id": recipient_id, "replacement_id": replacement_id}
    counts = await erase_recipient(session, {**values, "after": MIN_ID})
    if not counts:
        return None
    times = {"requested_at": func.now(), "finished_at": func.clock_timestamp()}
    record = insert(Erasure).values(id=id, tenant=tenant, counts=counts, **times).returning(Erasure)
    return (await session.execute(record)).scalar_one()


async def erase_recipient(session: AsyncSession, values: Json) -> Counter[str]:
    """Erase the recipient with all notifications after `after`. Return no counts if there is no such recipient."""
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


async def blank_notifications(session: AsyncSession, values: Json) -> Counter[str]:
    """Blank and cancel the notifications from `after` (exclusive) to `until`, and blank their rows in other tables.
    Rename up to `limit` digests, of which there are fewer than notifications."""
    await rename_digests(session, values)
    counts = await _blank_and_cancel(session, values)
    counts["inbox_messages"] = (await session.execute(DELETE_INBOX_MESSAGES, values)).scalar_one()
    for row_kind in NOTIFICATION_STEPS:
        counts[row_kind] = (await session.execute(ERASURE_STEPS[row_kind], values)).scalar_one()
    return counts


async def _blank_and_cancel(session: AsyncSession, values: Json) -> Counter[str]:
    row = dict((await session.execute(BLANK_NOTIFICATIONS, values)).mappings().one())
    entries = {"ids": row.pop("ids"), "to_cancel": row.pop("to_cancel"), "replacement_id": values["replacement_id"]}
    await session.execute(REQUEST_CANCEL_SIGNALS, entries)
    return Counter(row | {"attachments": await attachment_removal.erase_unshared(session, values)})


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> Erasure | None:
    found = select(Erasure).where(Erasure.tenant == tenant, Erasure.id == id)
    return (await session.execute(found)).scalar_one_or_none()


async def begin_erasure(
    session: AsyncSession, tenant: UUID, recipient_id: str, limit: int = BATCH_SIZE
) -> Erasure | None:
    """Erase the recipient. With more than `limit` notifications, erase it in batches later. Return None for an
    unknown recipient."""
    profile = await recipients.find(session, tenant, recipient_id)
    if profile is None:
        return None
    values: Json = {"tenant": tenant, "recipient_id": recipient_id}
    if not (await session.execute(EXCEEDS_LIMIT, {**values, "limit": limit})).scalar_one():
        return await erase_at_once(session, tenant, recipient_id)
    id = new_id()
    replacement_id = choose_replacement_id(*_quoted_values(profile), erasure=id)
    values |= {"id": id, "replacement_id": replacement_id, "after": MIN_ID, "counts": {}}
    record = insert(Erasure).values(requested_at=func.now(), last_batch_at=func.now(), **values)
    # A repeated request returns the erasure under way, as long as the recipient exists.
    record = record.on_conflict_do_update(
        index_elements=("tenant", "recipient_id"),
        index_where=text("finished_at IS NULL AND erased_at IS NULL"),
        set_={"last_batch_at": func.now()},
    )
    erasure = (await session.execute(record.returning(Erasure))).scalar_one()
    await notify(session, DISPATCH_CHANNEL, (ERASURE_DUE,))
    return erasure


async def erase_next_batch(session: AsyncSession, limit: int = BATCH_SIZE) -> bool:
    """Do the next batch of the erasure that was served longest ago. False if there is none."""
    row = (await session.execute(LOCK_NEXT)).mappings().one_or_none()
    if row is None:
        return False
    names = ("tenant", "recipient_id", "replacement_id", "after", "erased_at")
    values: Json = {"limit": limit, **{name: row[name] for name in names}}
    ids = await _select_batch(session, values)
    is_last = len(ids) < limit
    counts = Counter(decoded(row["counts"]))
    counts.update(await _erase_batch(session, values, ids, is_last=is_last))
    await session.execute(
        update(Erasure).where(col(Erasure.id) == row["id"]).values(_progress(row, ids, counts, is_last))
    )
    return True


async def _select_batch(session: AsyncSession, values: Json) -> Sequence[UUID]:
    batch = select(Notification.id).where(
        Notification.tenant == values["tenant"],
        Notification.recipient_id == values["recipient_id"],
        col(Notification.id) > values["after"],
    )
    if values["erased_at"] is not None:
        batch = batch.where(Notification.created_at < values["erased_at"])
    return (await session.execute(batch.order_by(col(Notification.id)).limit(values["limit"]))).scalars().all()


def _progress(row: RowMapping, ids: Sequence[UUID], counts: Counter[str], is_last: bool) -> Json:
    """Return the new values of the erasure. The last batch of the second pass finishes it and forgets the recipient."""
    if is_last and row["erased_at"] is not None:
        ended = {"recipient_id": None, "replacement_id": None, "after": None}
        return {"finished_at": func.clock_timestamp(), "counts": counts, **ended}
    values = {
        "after": MIN_ID if is_last else ids[-1],
        "counts": counts,
        "last_batch_at": func.clock_timestamp(),
        "failures": 0,
    }
    if is_last:
        values |= {"erased_at": func.now(), "recipient_id": Erasure.replacement_id}
    return values


async def postpone_failed(session: AsyncSession) -> None:
    """Let other erasures pass the one whose batch has just failed: it is still the first."""
    await session.execute(POSTPONE_FAILED)


async def _erase_batch(session: AsyncSession, values: Json, ids: Sequence[UUID], *, is_last: bool) -> Counter[str]:
    if values["erased_at"] is None and is_last:
        return await erase_recipient(session, values)
    if not ids:
        return Counter()
    return await blank_notifications(session, {**values, "until": ids[-1]})


# Schedules that also have other recipients. A schedule of this recipient alone loses its payload and tags.
LOCK_SHARED_SCHEDULES = text("""
SELECT id, spec FROM schedule WHERE tenant = :tenant AND deleted_at IS NULL
   AND spec->'recipients' ? CAST(:recipient_id AS text) ORDER BY id FOR NO KEY UPDATE
""")
SAVE_SPEC = text("UPDATE schedule SET spec = CAST(:spec AS jsonb), updated_at = now() WHERE id = :id")

RENAME_DIGESTS = statement("erasures/rename_digests")


async def rename_digests(session: AsyncSession, values: Json) -> None:
    """Replace the recipient id of `limit` digests."""
    if values["replacement_id"] != values["recipient_id"]:
        await session.execute(RENAME_DIGESTS, values)


async def hash_idempotency_keys(session: AsyncSession, tenant: UUID, profile: RecipientProfile) -> None:
    """Hash idempotency keys of sends to several recipients that quote this one."""
    # `order-1000017` does not quote `100001`.
    patterns = (re.escape(each) for each in _quoted_values(profile) if len(each) >= MIN_QUOTE_LENGTH)
    quoted = [f"(^|[^[:alnum:]]){each}($|[^[:alnum:]])" for each in patterns]
    await acceptance.replace_keys(session, tenant, quoted)


def _quoted_values(profile: RecipientProfile) -> list[str]:
    return [profile.recipient_id, *filter(None, profile.contact.values())]


async def redact_schedules(session: AsyncSession, tenant: UUID, profile: RecipientProfile) -> None:
    """Remove what quotes the recipient from payloads and tags that are also for others."""
    quoted = _quoted_values(profile)
    rows = await session.execute(LOCK_SHARED_SCHEDULES, {"tenant": tenant, "recipient_id": profile.recipient_id})
    for row in list(rows.mappings()):
        spec = decoded(row["spec"])
        redacted = {**spec, **{name: redact(spec[name], quoted) for name in ("payload", "tags") if name in spec}}
        if redacted != spec:
            await session.execute(SAVE_SPEC, {"id": row["id"], "spec": to_json(redacted)})
