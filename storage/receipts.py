"""Receipts of providers and of applications: stored before they are matched, applied through the ledger, kept when they
match nothing.

Of receipts about one address and one unsubscribe group of a provider the latest counts, in whatever order they are
applied and whichever messages they came by. An application reports that a message in the inbox was read, or that a push
was opened; its receipts are stored like those of providers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.channels import Channel
from domain.clock import now
from domain.evidence import EVIDENCE_OF_RECEIPT, ReceiptKind, Reporter
from domain.json_types import Json
from domain.ledger import record_delay, record_receipt
from domain.names import derived_id
from domain.records import Ledger
from domain.suppressions import (
    SuppressionFinding,
    finding_from_receipt,
    finding_from_refusal,
    is_group_receipt,
    suppression_source,
    with_suppression_events,
)
from models.receipts import NO_TENANT
from storage import suppressions
from storage.database import Database, to_json
from storage.ledgers import NotificationRef, amend
from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReceipt:
    """`provider` is who reports it: the attempt's, or a Reporter. A `token` is good for one receipt."""

    id: UUID
    provider: str
    kind: str
    attempt_id: UUID | None
    provider_message_id: str | None
    reason: str | None
    occurred_at: datetime
    raw: Json
    token: UUID | None = None


INSERT_RECEIPTS = statement("receipts/insert")

# One that names our reference has found its attempt without us.
LOCK_EARLY = text("""
SELECT id, provider, kind, attempt_id, provider_message_id, reason, occurred_at FROM receipt
 WHERE applied_at IS NULL AND provider = :provider AND provider_message_id = :message_id AND attempt_id IS NULL
 ORDER BY id FOR UPDATE SKIP LOCKED
""")

MARK_APPLIED = statement("receipts/mark_applied")


async def store_in_own_transaction(database: Database, receipts: list[StoredReceipt]) -> None:
    """Store receipts in a transaction of their own."""
    async with database.statement() as session:
        await store(session, receipts)


async def store(session: Executor, receipts: list[StoredReceipt]) -> set[UUID]:
    """Store receipts and return the ids of the new ones. One whose token another receipt has used is not stored."""
    return set(
        (
            await session.execute(INSERT_RECEIPTS, {"receipts": _receipts_to_json(receipts), "no_tenant": NO_TENANT})
        ).scalars()
    )


def _receipts_to_json(receipts: list[StoredReceipt]) -> str:
    # In one order, so that two requests with the same receipts do not deadlock on their ids.
    ordered = sorted(receipts, key=lambda receipt: receipt.id)
    rows = [{name: getattr(receipt, name) for name in receipt.__slots__} for receipt in ordered]
    # Postgres keeps no NUL in JSON; what a vendor sent must not be lost for it.
    return to_json(rows).replace("\\u0000", "\\ufffd")


async def find_early(session: Executor, provider: str, message_id: str) -> list[StoredReceipt]:
    """Return the receipts that arrived before the provider's id of the message was known, and lock them."""
    return _receipts_of(
        (await session.execute(LOCK_EARLY, {"provider": provider, "message_id": message_id})).mappings()
    )


async def apply_receipt(session: Executor, receipt: StoredReceipt, attempt_id: UUID, ref: NotificationRef) -> None:
    """Apply a receipt in the caller's transaction: update suppression list, delivery, notification, event and the
    receipt itself."""
    at = now()
    applied_findings = await update_suppressions(session, ref, attempt_id, [receipt])

    def change(ledger: Ledger) -> Ledger:
        return with_suppression_events(
            with_receipts(ledger, attempt_id, [receipt], at), attempt_id, applied_findings, at
        )

    await amend(session, ref, change)
    await mark_applied(session, [receipt], attempt_id)


async def update_suppressions(
    session: Executor, ref: NotificationRef, attempt_id: UUID, received: list[StoredReceipt], refusal: str | None = None
) -> list[SuppressionFinding]:
    """Apply what the receipts of a call, or its own refusal, prove about the address, and return the findings for
    `with_suppression_events`. Call it before `amend`: the suppression list is locked before a notification is."""
    received = [receipt for receipt in received if not await _is_revoked(session, ref.tenant, attempt_id, receipt)]
    for receipt in received:
        if is_group_receipt(kind := ReceiptKind(receipt.kind), receipt.reason) and kind is ReceiptKind.RESUBSCRIBED:
            source = suppression_source(receipt.provider, receipt.reason)
            await suppressions.lift_group_opt_out(session, ref.tenant, attempt_id, source)
    reported_findings = [
        *(finding_from_receipt(ReceiptKind(receipt.kind), receipt.reason) for receipt in received),
        finding_from_refusal(refusal),
    ]
    return await suppressions.apply_findings(
        session, ref, attempt_id, [finding for finding in reported_findings if finding]
    )


# Until the transaction ends: another receipt of the address sees what this one makes, or is seen by it.
LOCK_ADDRESS = text("""
SELECT pg_advisory_xact_lock(hashtextextended(concat(tenant, address_hash), 0))::text
  FROM attempt WHERE id = :attempt_id AND tenant = :tenant
""")
IS_REVOKED = statement("receipts/is_revoked")


async def _is_revoked(session: Executor, tenant: UUID, attempt_id: UUID, receipt: StoredReceipt) -> bool:
    """Return whether a later receipt about the group and the address of this attempt reports the contrary."""
    if not is_group_receipt(ReceiptKind(receipt.kind), receipt.reason):
        return False
    values = {"attempt_id": attempt_id, "tenant": tenant}
    await session.execute(LOCK_ADDRESS, values)
    about = {"reason": receipt.reason, "kind": receipt.kind, "at": receipt.occurred_at}
    return bool((await session.execute(IS_REVOKED, {**values, **about})).scalar_one())


def with_receipts(ledger: Ledger, attempt_id: UUID, received: list[StoredReceipt], at: datetime) -> Ledger:
    """Return the ledger after these receipts of one attempt."""
    for receipt in received:
        if receipt.kind == ReceiptKind.DELAYED:
            ledger = record_delay(ledger, attempt_id, receipt.occurred_at, at, receipt.reason)
        evidence = EVIDENCE_OF_RECEIPT.get(ReceiptKind(receipt.kind))
        if evidence is not None:
            ledger = record_receipt(
                ledger, attempt_id, evidence, receipt.occurred_at, at, receipt.reason, receipt.provider
            )
    return ledger


async def mark_applied(session: Executor, received: list[StoredReceipt], attempt_id: UUID | None = None) -> None:
    """Mark receipts as applied. `attempt_id` None: an incoming message of a recipient, not a receipt of an attempt."""
    await session.execute(MARK_APPLIED, {"ids": [receipt.id for receipt in received], "attempt_id": attempt_id})


def _receipts_of(rows: Any) -> list[StoredReceipt]:
    return [StoredReceipt(**{**row, "raw": {}}) for row in rows]


# The attempt of each delivery that most likely reached the recipient. One without an outcome may have reached them.
SELECT_SENT_DELIVERIES = text("""
SELECT DISTINCT ON (d.id) d.id AS delivery_id, d.channel, d.generation, d.step, a.id AS attempt_id
  FROM delivery d JOIN attempt a ON a.notification_id = d.notification_id AND a.delivery_id = d.id
 WHERE d.tenant = :tenant AND d.notification_id = ANY(:notifications) AND a.evidence IS DISTINCT FROM 'not_sent'
 ORDER BY d.id, COALESCE(a.evidence IN ('sent', 'delivered', 'opened', 'clicked'), false) DESC, a.number DESC, a.id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class SentDelivery:
    delivery_id: UUID
    channel: Channel
    generation: int
    step: int
    attempt_id: UUID


async def find_sent_deliveries(session: Executor, tenant: UUID, notifications: Sequence[UUID]) -> list[SentDelivery]:
    """Return the deliveries of these notifications that were sent or may have been sent."""
    rows = await session.execute(SELECT_SENT_DELIVERIES, {"tenant": tenant, "notifications": list(notifications)})
    return [SentDelivery(**{**row, "channel": Channel(row["channel"])}) for row in rows.mappings()]


async def store_application_receipts(
    session: Executor, deliveries: Sequence[SentDelivery], kind: ReceiptKind, by: Reporter
) -> None:
    """Store one receipt of this kind per delivery; a repeated report changes nothing."""
    if deliveries:
        await store(session, [_build_receipt(delivery, kind, by) for delivery in deliveries])


def _build_receipt(delivery: SentDelivery, kind: ReceiptKind, by: Reporter) -> StoredReceipt:
    return StoredReceipt(
        id=derived_id("application", delivery.delivery_id, kind),
        provider=by,
        kind=kind,
        attempt_id=delivery.attempt_id,
        provider_message_id=None,
        reason=None,
        occurred_at=now(),
        raw={},
    )
