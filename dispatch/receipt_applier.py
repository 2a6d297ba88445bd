"""Apply stored receipts in batches through the ledgers of their notifications. Runs in the API process.

A receipt that a workflow waits for sets `evidence_due` of its ledger. The statement that saves the ledger marks the
queue entry and notifies the leader. The leader's `WorkflowSignalTasks` then send the signal `evidence_arrived` to the
workflow.
"""

import asyncio

import structlog

from dispatch.account_errors import report_account_errors
from dispatch.background_loops import Loop
from storage import receipts
from storage.database import Database
from storage.receipt_batches import ClaimedReceipt, ReceiptBatch, apply_batch, lease_batch
from storage.receipts import StoredReceipt

log = structlog.get_logger(__name__)

POLL_INTERVAL = 1.0
BATCH_SIZE = 100  # receipts per transaction
SINGLE_CONCURRENCY = 8  # concurrent transactions for receipts that are applied alone


class ReceiptApplier:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = Loop("receipts", self.apply_waiting)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def apply_waiting(self) -> float:
        while await self._apply_batch() == BATCH_SIZE:
            pass
        return POLL_INTERVAL

    async def _apply_batch(self) -> int:
        """Apply a batch in one transaction. If that fails, apply each of its receipts in its own."""
        [batch] = await asyncio.gather(self._apply_together(), return_exceptions=True)
        if isinstance(batch, BaseException):
            log.warning("a batch of receipts was not applied", error=type(batch).__name__)
            async with self._database.quick_transaction() as session:
                batch = await lease_batch(session, BATCH_SIZE)
        applied = list(batch.applied)
        for first in range(0, len(batch.to_apply_alone), SINGLE_CONCURRENCY):
            applied += await self._apply_each(batch.to_apply_alone[first : first + SINGLE_CONCURRENCY])
        await report_account_errors(self._database, applied)
        return batch.size

    async def _apply_together(self) -> ReceiptBatch:
        async with self._database.quick_transaction() as session:
            return await apply_batch(session, BATCH_SIZE)

    async def _apply_each(self, receipt_claims: list[ClaimedReceipt]) -> list[StoredReceipt]:
        """Return the receipts that were applied."""
        errors = await asyncio.gather(*(self._apply_single(one) for one in receipt_claims), return_exceptions=True)
        for one, error in zip(receipt_claims, errors, strict=True):
            if error is not None:
                # Its lease has postponed it already: it does not block the others.
                log.error("a receipt was not applied", receipt=str(one.receipt.id), error=type(error).__name__)
        return [one.receipt for one, error in zip(receipt_claims, errors, strict=True) if error is None]

    async def _apply_single(self, claimed: ClaimedReceipt) -> None:
        if claimed.ref is None or claimed.attempt_id is None:
            return
        async with self._database.quick_transaction() as session:
            await receipts.apply_receipt(session, claimed.receipt, claimed.attempt_id, claimed.ref)
