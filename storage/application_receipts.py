"""Receipts of what an application reports: a message in the inbox was read, a push was opened. Called by the routes.

They are stored like those of providers and applied by the receipt applier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from domain.channels import Channel
from domain.clock import now
from domain.evidence import ReceiptKind, Reporter
from domain.names import derived_id
from storage import receipts
from storage.receipts import StoredReceipt
from storage.statements import Executor

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
    """Those of these notifications that the recipient has or may have."""
    rows = await session.execute(SELECT_SENT_DELIVERIES, {"tenant": tenant, "notifications": list(notifications)})
    return [SentDelivery(**{**row, "channel": Channel(row["channel"])}) for row in rows.mappings()]


async def store_application_receipts(
    session: Executor, deliveries: Sequence[SentDelivery], kind: ReceiptKind, by: Reporter
) -> None:
    """Store one receipt of this kind per delivery; a repeated report changes nothing."""
    if deliveries:
        await receipts.store(session, [_build_receipt(delivery, kind, by) for delivery in deliveries])


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
