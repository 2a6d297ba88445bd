"""Resume notifications that wait for a place in the queue of a provider with a rate. Run by the leader."""

from collections.abc import Sequence

from storage import claims
from storage.database import Database

POLL_INTERVAL = 1.0


class ProviderQueueTask:
    def __init__(self, database: Database, providers: Sequence[str]) -> None:
        self._database = database
        self._providers = providers

    async def admit(self) -> float:
        async with self._database.statement() as session:
            busy = await claims.find_awaited_providers(session, self._providers)
        for name in busy:
            async with self._database.statement() as session:
                await claims.admit(session, name)
        return POLL_INTERVAL
