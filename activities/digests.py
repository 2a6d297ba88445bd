"""`close_digest`: closes a window that is due, or says when it will be."""

from uuid import UUID

from temporalio import activity

from domain.clock_messages import DigestCloseInput, DigestCloseResult
from storage import digests
from storage.database import Database


class DigestActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def close_digest(self, request: DigestCloseInput) -> DigestCloseResult:
        """By the database's clock. Safe to run twice: a window is closed once, and its notification made with it."""
        async with self._database.transaction() as session:
            return DigestCloseResult(closes_at=await digests.close_group(session, request.tenant, request.digest_key))

    async def close_due(self, tenant: UUID, notification_type: str) -> int:
        """For ticks: one window of what closes by the calendar."""
        async with self._database.transaction() as session:
            return await digests.close_due(session, tenant, notification_type)
