"""When keys were last used: noted in memory by each request, written to the database now and then."""

from datetime import datetime
from uuid import UUID

from dispatch.loops import Loop
from domain.clock import now
from storage.api_keys import note_uses
from storage.database import Database

WRITE_EVERY = 15.0  # seconds; a key that is used all the time is written once a minute


class KeyUses:
    """One per API process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used: dict[UUID, datetime] = {}

    def note(self, key_id: UUID) -> None:
        self._used[key_id] = now()

    async def write(self) -> None:
        """Keep what could not be written for the next time."""
        used = dict(self._used)
        if not used:
            return
        async with self._database.statement() as session:
            await note_uses(session, used)
        for key_id, at in used.items():
            if self._used[key_id] == at:
                del self._used[key_id]

    async def run(self) -> None:
        await Loop("key uses", self._step).run()

    async def _step(self) -> float:
        await self.write()
        return WRITE_EVERY
