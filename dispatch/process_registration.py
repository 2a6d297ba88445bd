"""Renew the row that shows to other processes that this one is alive. Run by worker and API."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID, uuid4

from dispatch.background_loops import Loop
from storage import processes
from storage.connections import suppress_outages
from storage.database import Database
from storage.processes import ProcessInfo

RENEW_INTERVAL = 5.0
REMOVE_TIMEOUT = 2.0


class ProcessRegistration:
    """Register this process. `role` is `worker` or `api`; `isolation` returns the isolation layers in force in its
    rendering processes, None before one has started."""

    def __init__(
        self,
        database: Database,
        role: str,
        providers: Iterable[str],
        isolation: Callable[[], Sequence[str] | None] = lambda: None,
    ) -> None:
        self.process_id: UUID = uuid4()
        self._database = database
        self._role = role
        self._providers = sorted(providers)
        self._isolation = isolation

    async def run(self) -> None:
        """Renew the row until cancelled, then delete it. While Postgres is unavailable the process continues without
        it."""
        try:
            await Loop("presence", self._renew).run()
        finally:
            await self._remove()

    async def _renew(self) -> float:
        async with self._database.statement() as session:
            await processes.renew(session, self._process_info())
        return RENEW_INTERVAL

    async def _remove(self) -> None:
        """Delete the row. If that fails, the process counts as dead a minute later."""
        with suppress_outages():
            async with asyncio.timeout(REMOVE_TIMEOUT), self._database.statement() as session:
                await processes.remove(session, self.process_id)

    def _process_info(self) -> ProcessInfo:
        return ProcessInfo(
            id=self.process_id,
            role=self._role,
            host=socket.gethostname(),
            pid=os.getpid(),
            providers=self._providers,
            isolation=self._isolation(),
        )
