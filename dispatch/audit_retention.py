"""Bounds the audit log: one of the leader's duties."""

from storage import audit
from storage.database import Database

EVERY = 3_600.0  # seconds


class AuditRetention:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def prune(self) -> float:
        async with self._database.transaction() as session:
            await audit.prune(session)
        return EVERY
