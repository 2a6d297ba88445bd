"""Resume notifications that wait for a place in the queue of a provider with a rate. Run by the leader."""

from collections.abc import Sequence

from storage import provider_queues
from storage.database import Database

POLL_INTERVAL = 1.0


class ProviderQueueTask:
    def __init__(self, database: Database, providers: Sequence[str]) -> None:
        self._database = database
        self._providers = providers

    async def admit(self) -> float:
        async with self._database.statement() as session:
            busy = await provider_queues.find_awaited_providers(session, self._providers)
        for name in busy:
            async with self._database.statement() as session:
                await provider_queues.admit(session, name)
        return POLL_INTERVAL
