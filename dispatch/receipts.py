"""Applies receipts that were stored: in one transaction each, through the ledger. Runs in the API process."""

import asyncio

import structlog

from dispatch.loops import Loop
from storage import receipts
from storage.database import Database
from storage.receipts import StoredReceipt

log = structlog.get_logger(__name__)

LOOK_AGAIN = 1.0
AT_ONCE = 8


class ReceiptApplier:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = Loop("receipts", self.apply_waiting)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def apply_waiting(self) -> float:
        while await self._apply_batch():
            pass
        return LOOK_AGAIN

    async def _apply_batch(self) -> int:
        async with self._database.transaction() as session:
            claimed = await receipts.claim_waiting(session, AT_ONCE)
        ends = await asyncio.gather(*(self._apply(receipt) for receipt in claimed), return_exceptions=True)
        for receipt, error in zip(claimed, ends, strict=True):
            if error is not None:
                # The claim has postponed it already: it stands in nobody's way.
                log.error("a receipt was not applied", receipt=str(receipt.id), error=type(error).__name__)
        return len(claimed)

    async def _apply(self, receipt: StoredReceipt) -> None:
        """One that matches no attempt yet is kept: it is met when the call is recorded, or looked at again later."""
        async with self._database.transaction() as session:
            if found := await receipts.match(session, receipt):
                await receipts.apply(session, receipt, *found)
