"""Apply waiting receipts in batches: claimed with the ledgers that they are about, saved in one statement for all.

Called by the receipt applier. Three statements per batch, whatever its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.clock import now
from domain.evidence import ReceiptKind, Reporter
from domain.records import Ledger
from domain.suppressions import by_receipt, is_group
from storage.database import to_json
from storage.ledger_rows import AGGREGATES, COLUMNS, ledger_of
from storage.ledgers import Key, save_many
from storage.receipts import StoredReceipt, with_receipts
from storage.recipients import ERASED
from storage.round_robin import round_robin
from storage.rows import FEW_ROWS
from storage.statements import Executor

# The rows stay locked until the transaction ends: another process skips them. A receipt names its attempt by our
# reference or, without one, by the provider's id of the message. Two queries, so that each uses its own index.
WAITING = round_robin(
    "receipt",
    waiting="applied_at IS NULL AND next_try_at IS NOT NULL",
    due="next_try_at <= now()",
    order="next_try_at",
)
REPORTERS = ", ".join(f"'{reporter}'" for reporter in Reporter)
CLAIM = text(f"""
WITH RECURSIVE {WAITING}, due AS (
  SELECT id, provider, kind, attempt_id, provider_message_id, reason, occurred_at FROM receipt JOIN chosen USING (id)
)
SELECT due.id AS receipt_id, due.provider, due.kind, due.attempt_id, due.provider_message_id, due.reason,
       due.occurred_at, matched.id AS matched_id, matched.tenant AS matched_tenant, matched.notification_id, ledger.*
  FROM due
  LEFT JOIN LATERAL (
    SELECT a.id, a.tenant, a.notification_id FROM attempt a
     WHERE a.id = due.attempt_id AND (a.provider = due.provider OR due.provider IN ({REPORTERS}))
     UNION ALL
    (SELECT a.id, a.tenant, a.notification_id FROM attempt a
      WHERE due.attempt_id IS NULL AND a.provider = due.provider AND a.provider_message_id = due.provider_message_id
      ORDER BY a.started_at LIMIT 1)
  ) matched ON true
  LEFT JOIN LATERAL (
    SELECT {COLUMNS}, {AGGREGATES} FROM notification n
     WHERE n.id = matched.notification_id AND n.tenant = matched.tenant
  ) ledger ON true
 ORDER BY due.id
""")  # noqa: S608 - constants of our own

# A receipt that was not applied is postponed, by 1, 2, 4 … seconds up to an hour, so it never blocks the others. After
# three days it is kept and not tried again. The raw receipt is kept only while its recipient is; this is a scalar
# subquery, because Postgres hashes EXISTS over all attempts if it expects many rows.
SETTLE = text(f"""
UPDATE receipt r SET tries = r.tries + 1, applied_at = CASE WHEN x.attempt_id IS NOT NULL THEN now() END,
       next_try_at = CASE WHEN x.attempt_id IS NULL AND r.received_at > now() - interval '3 days'
         THEN now() + least(power(2, least(r.tries, 12)), 3600) * interval '1 second' END,
       raw = CASE WHEN x.attempt_id IS NULL OR coalesce((
         SELECT NOT {ERASED} FROM attempt a JOIN notification n ON n.id = a.notification_id
          WHERE a.id = x.attempt_id), false) THEN r.raw ELSE '{{}}' END
  FROM (SELECT * FROM jsonb_to_recordset(CAST(:receipts AS jsonb)) AS given(id uuid, attempt_id uuid)
         {FEW_ROWS.format(rows="receipts")}) x
 WHERE r.id = x.id
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedReceipt:
    """`attempt_id` is None if no attempt matches. `ledger` is the row of the notification as it was claimed."""

    receipt: StoredReceipt
    attempt_id: UUID | None
    key: Key | None
    ledger: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How many receipts were claimed, which are to be applied alone (each has a lease), and which are applied."""

    size: int
    rest: list[ClaimedReceipt]
    applied: Sequence[StoredReceipt] = ()


async def apply_together(session: Executor, limit: int) -> Batch:
    """Claim up to `limit` waiting receipts and apply them, in the caller's transaction.

    Left for `apply_alone` are receipts of a notification that another transaction has changed or locked, and those that
    suppress an address or lift that: they lock the recipient first.
    """
    claimed = await claim(session, limit)
    applied = await _applied(session, [one for one in claimed if one.key and not _suppresses(one.receipt)])
    await _settle(session, claimed, applied)
    rest = [one for one in claimed if one.key and one.receipt.id not in applied]
    done = [one.receipt for one in claimed if one.receipt.id in applied]
    return Batch(size=len(claimed), rest=rest, applied=done)


async def lease(session: Executor, limit: int) -> Batch:
    """Claim up to `limit` waiting receipts without applying any."""
    claimed = await claim(session, limit)
    await _settle(session, claimed, set())
    return Batch(size=len(claimed), rest=[one for one in claimed if one.key])


async def claim(session: Executor, limit: int) -> list[ClaimedReceipt]:
    return [_claimed(dict(row)) for row in (await session.execute(CLAIM, {"limit": limit})).mappings()]


async def _applied(session: Executor, claimed: Sequence[ClaimedReceipt]) -> set[UUID]:
    """Ids of the receipts whose notification has what they report."""
    by_notification: dict[UUID, list[ClaimedReceipt]] = {}
    for one in claimed:
        if one.key and one.ledger["id"] is not None:
            by_notification.setdefault(one.key.notification_id, []).append(one)
    at = now()
    changes: list[tuple[Ledger, Ledger]] = []
    for group in by_notification.values():
        before = after = ledger_of(group[0].ledger)
        for one in group:
            if one.attempt_id:
                after = with_receipts(after, one.attempt_id, [one.receipt], at)
        if after is not before:
            changes.append((before, after))
    saved = await save_many(session, changes) if changes else set()
    missed = {before.notification_id for before, _ in changes} - saved
    return {one.receipt.id for id, group in by_notification.items() if id not in missed for one in group}


async def _settle(session: Executor, claimed: Sequence[ClaimedReceipt], applied: set[UUID]) -> None:
    if not claimed:
        return
    rows = [
        {"id": one.receipt.id, "attempt_id": one.attempt_id if one.receipt.id in applied else None} for one in claimed
    ]
    await session.execute(SETTLE, {"receipts": to_json(rows)})


def _suppresses(receipt: StoredReceipt) -> bool:
    kind = ReceiptKind(receipt.kind)
    return by_receipt(kind, receipt.reason) is not None or is_group(kind, receipt.reason)


RECEIPT = ("provider", "kind", "attempt_id", "provider_message_id", "reason", "occurred_at")


def _claimed(row: dict[str, Any]) -> ClaimedReceipt:
    fields = {name: row[name] for name in RECEIPT}
    matched = row["notification_id"]
    return ClaimedReceipt(
        receipt=StoredReceipt(id=row["receipt_id"], raw={}, **fields),
        attempt_id=row["matched_id"],
        key=Key(notification_id=matched, tenant=row["matched_tenant"]) if matched else None,
        ledger=row,
    )
