"""Implement `close_digest`: close a digest window that is due, or return when it closes."""

from temporalio import activity

from domain.clock_messages import DigestCloseInput, DigestCloseResult
from storage import digests
from storage.database import Database


class DigestActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def close_digest(self, request: DigestCloseInput) -> DigestCloseResult:
        """Close the window by the database clock. Idempotent: a window and its notification are written once,
        together."""
        async with self._database.transaction() as session:
            return DigestCloseResult(closes_at=await digests.close_group(session, request.tenant, request.digest_key))
