"""Collect when keys were last used in memory, and write it to the database periodically."""

from datetime import datetime
from uuid import UUID

from dispatch.background_loops import Loop
from domain.clock import now
from storage.api_keys import record_uses
from storage.database import Database

WRITE_INTERVAL = 15.0  # seconds; a key in constant use is written once a minute


class KeyUses:
    """Last uses of keys. One object per API process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used_at: dict[UUID, datetime] = {}

    def record_use(self, key_id: UUID) -> None:
        self._used_at[key_id] = now()

    async def write(self) -> None:
        """Write the last uses. Keep those that could not be written for the next time."""
        used_at = dict(self._used_at)
        if not used_at:
            return
        async with self._database.statement() as session:
            await record_uses(session, used_at)
        for key_id, at in used_at.items():
            if self._used_at[key_id] == at:
                del self._used_at[key_id]

    async def run(self) -> None:
        await Loop("key uses", self._step).run()

    async def _step(self) -> float:
        await self.write()
        return WRITE_INTERVAL
