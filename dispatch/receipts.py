"""Applies receipts that were stored: in one transaction each, through the ledger. Runs in the API process."""

from dispatch.loops import Loop
from storage import receipts
from storage.database import Database

LOOK_AGAIN = 1.0


class ReceiptApplier:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = Loop("receipts", self.apply_waiting)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def apply_waiting(self) -> float:
        while await self._apply_one():
            pass
        return LOOK_AGAIN

    async def _apply_one(self) -> bool:
        """False when none waits. One that matches no attempt yet is kept and tried again later."""
        async with self._database.transaction() as session:
            waiting = await receipts.waiting(session, 1)
            for receipt in waiting:
                if found := await receipts.match(session, receipt):
                    await receipts.apply(session, receipt, *found)
                else:
                    await receipts.postpone(session, receipt)
            return bool(waiting)
