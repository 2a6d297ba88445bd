"""Notify worker processes that work is due. Runs after the commit: a NOTIFY inside a transaction makes its commit
wait for every other one with a NOTIFY."""

import asyncio
import time

from dispatch.background_loops import Loop
from domain.names import DISPATCH_CHANNEL
from storage.database import Database
from storage.statements import notify

MIN_INTERVAL = 0.02  # seconds between two announcements


class WorkAnnouncer:
    """Announce work in batches: announcements within MIN_INTERVAL are sent together. The polls of the workers find
    what is lost with a process or a connection within 2 s."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: set[str] = set()
        self._loop = Loop("announcements", self._send_announcements)
        self._next_at = 0.0

    def announce(self, payload: str) -> None:
        """Announce `payload`, one of those of DISPATCH_CHANNEL."""
        self._pending.add(payload)
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def _send_announcements(self) -> float:
        await asyncio.sleep(self._next_at - time.monotonic())
        self._next_at = time.monotonic() + MIN_INTERVAL
        if payload := list(self._pending):
            self._pending.clear()
            async with self._database.statement() as session:
                await notify(session, DISPATCH_CHANNEL, payload)
        return 60.0
