"""Lets notifications go on that wait for room in the queue of a provider with a rate. One of the duties."""

from collections.abc import Sequence

from storage import provider_queues
from storage.database import Database

LOOK_EVERY = 1.0


class ProviderQueues:
    def __init__(self, database: Database, providers: Sequence[str]) -> None:
        self._database = database
        self._providers = providers

    async def let_in(self) -> float:
        async with self._database.statement() as session:
            busy = await provider_queues.waited_for(session, self._providers)
        for name in busy:
            async with self._database.statement() as session:
                await provider_queues.let_in(session, name)
        return LOOK_EVERY
