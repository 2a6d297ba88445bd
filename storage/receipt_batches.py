"""Apply waiting receipts in batches: claimed with the ledgers that they are about, saved in one statement for all.

Called by the receipt applier. Three statements per batch, whatever its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.clock import now
from domain.evidence import ReceiptKind, Reporter
from domain.records import Ledger
from domain.suppressions import finding_from_receipt, is_group_receipt
from storage.database import to_json
from storage.ledgers import NotificationRef, ledger_of, save_many
from storage.receipts import StoredReceipt, with_receipts
from storage.statements import Executor, statement

CLAIM_RECEIPTS = statement("receipt_batches/claim")
SETTLE_RECEIPTS = statement("receipt_batches/settle")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedReceipt:
    """`attempt_id` is None if no attempt matches. `ledger_row` is the row of the notification as it was
    claimed."""

    receipt: StoredReceipt
    attempt_id: UUID | None
    ref: NotificationRef | None
    ledger_row: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptBatch:
    """Hold how many receipts were claimed, which of them must be applied alone (each has a lease), and which were
    applied."""

    size: int
    to_apply_alone: list[ClaimedReceipt]
    applied: Sequence[StoredReceipt] = ()


async def apply_batch(session: Executor, limit: int) -> ReceiptBatch:
    """Claim up to `limit` waiting receipts and apply them, in the caller's transaction.

    Leaves in `to_apply_alone`, for `apply_receipt`, the receipts of a notification that another transaction has
    changed or locked, and those that change suppressions, because they lock the recipient first.
    """
    claimed = await claim_receipts(session, limit)
    applied = await _apply_receipts(
        session,
        [
            receipt_claim
            for receipt_claim in claimed
            if receipt_claim.ref and not _changes_suppressions(receipt_claim.receipt)
        ],
    )
    await _mark_or_postpone(session, claimed, applied)
    to_apply_alone = [
        receipt_claim for receipt_claim in claimed if receipt_claim.ref and receipt_claim.receipt.id not in applied
    ]
    applied_receipts = [receipt_claim.receipt for receipt_claim in claimed if receipt_claim.receipt.id in applied]
    return ReceiptBatch(size=len(claimed), to_apply_alone=to_apply_alone, applied=applied_receipts)


async def lease_batch(session: Executor, limit: int) -> ReceiptBatch:
    """Claim up to `limit` waiting receipts without applying any."""
    claimed = await claim_receipts(session, limit)
    await _mark_or_postpone(session, claimed, set())
    return ReceiptBatch(
        size=len(claimed), to_apply_alone=[receipt_claim for receipt_claim in claimed if receipt_claim.ref]
    )


async def claim_receipts(session: Executor, limit: int) -> list[ClaimedReceipt]:
    values = {"limit": limit, "reporters": list(Reporter)}
    return [_claimed_receipt(dict(row)) for row in (await session.execute(CLAIM_RECEIPTS, values)).mappings()]


async def _apply_receipts(session: Executor, claimed: Sequence[ClaimedReceipt]) -> set[UUID]:
    """Apply the receipts. Return the ids of those whose notification now has what they report."""
    by_notification: dict[UUID, list[ClaimedReceipt]] = {}
    for receipt_claim in claimed:
        if receipt_claim.ref and receipt_claim.ledger_row["id"] is not None:
            by_notification.setdefault(receipt_claim.ref.notification_id, []).append(receipt_claim)
    at = now()
    changes: list[tuple[Ledger, Ledger]] = []
    for group in by_notification.values():
        before = after = ledger_of(group[0].ledger_row)
        for receipt_claim in group:
            if receipt_claim.attempt_id:
                after = with_receipts(after, receipt_claim.attempt_id, [receipt_claim.receipt], at)
        if after is not before:
            changes.append((before, after))
    saved = await save_many(session, changes) if changes else set()
    unsaved = {before.notification_id for before, _ in changes} - saved
    return {
        receipt_claim.receipt.id
        for id, group in by_notification.items()
        if id not in unsaved
        for receipt_claim in group
    }


async def _mark_or_postpone(session: Executor, claimed: Sequence[ClaimedReceipt], applied: set[UUID]) -> None:
    """Mark the applied receipts, and postpone the others by a lease."""
    if not claimed:
        return
    rows = [
        {
            "id": receipt_claim.receipt.id,
            "attempt_id": receipt_claim.attempt_id if receipt_claim.receipt.id in applied else None,
        }
        for receipt_claim in claimed
    ]
    await session.execute(SETTLE_RECEIPTS, {"receipts": to_json(rows)})


def _changes_suppressions(receipt: StoredReceipt) -> bool:
    kind = ReceiptKind(receipt.kind)
    return finding_from_receipt(kind, receipt.reason) is not None or is_group_receipt(kind, receipt.reason)


RECEIPT_FIELDS = ("provider", "kind", "attempt_id", "provider_message_id", "reason", "occurred_at")


def _claimed_receipt(row: dict[str, Any]) -> ClaimedReceipt:
    fields = {name: row[name] for name in RECEIPT_FIELDS}
    matched = row["notification_id"]
    return ClaimedReceipt(
        receipt=StoredReceipt(id=row["receipt_id"], raw={}, **fields),
        attempt_id=row["matched_id"],
        ref=NotificationRef(notification_id=matched, tenant=row["matched_tenant"]) if matched else None,
        ledger_row=row,
    )
