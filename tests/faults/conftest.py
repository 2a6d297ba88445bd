"""Share one stack without a start rate among all faults. Each test leaves it healthy and without open notifications.

It ends with the last test of this package: an idle stack takes a tenth of a core from the tests that follow.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.invariants import EVERY_NOTIFICATION_ENDS, broken
from faults.servers import Servers, running_servers
from faults.stack_client import StackClient, open_stack_client
from faults.stack_database import StackDatabase
from faults.stack_run import StackRun, running_stack
from tests.polling import eventually

OPEN = f"SELECT count(*) FROM ({EVERY_NOTIFICATION_ENDS}) still_open"
COUNT_UNFINISHED = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND status IN ('PENDING', 'SENT')"
# A disconnected call is known as such after its timeout of ten seconds; twice, after two kills.
END_TIMEOUT = 240
RECEIPT_TIMEOUT = 60


@dataclass(frozen=True, kw_only=True)
class RunningStack:
    run: StackRun
    stack_database: StackDatabase
    stack_client: StackClient

    async def wait_for_partial_send(self, ids: list[str], sent: int) -> None:
        """Wait until this many are sent, and check that not all are."""
        assert await eventually(lambda: self.stack_database.count_sent(ids), lambda seen: seen >= sent) < len(ids)

    async def wait_for_end(self, ids: list[str], within: float = END_TIMEOUT) -> dict[str, str]:
        """Wait for the end of everything and for the receipts of these. Check the invariants and return the
        statuses.
        """
        await self.stack_database.until(OPEN, is_=0, within=within)
        await self.stack_database.until(COUNT_UNFINISHED, ids, is_=0, within=RECEIPT_TIMEOUT)
        assert await broken(self.stack_database.rows) == {}
        return await self.stack_database.statuses(ids)

    async def readiness(self) -> dict[str, Any]:
        response: dict[str, Any] = (await self.stack_client.http.get(f"{self.stack_client.url}/readyz")).json()
        return response


@pytest.fixture(scope="package")
async def shared_run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StackRun]:
    async with running_stack(tmp_path_factory.mktemp("stack") / "data", START_RATE="0", WORKERS="1") as run:
        yield run


@pytest.fixture(scope="package")
async def stack(shared_run: StackRun) -> AsyncIterator[RunningStack]:
    async with open_stack(shared_run) as stack:
        yield stack


@asynccontextmanager
async def open_stack(run: StackRun) -> AsyncIterator[RunningStack]:
    stack_database = StackDatabase(run.info.database_url)
    async with open_stack_client(run.info) as stack_client:
        await stack_client.type()
        yield RunningStack(run=run, stack_database=stack_database, stack_client=stack_client)
    await stack_database.close()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """Run servers for one test that freezes or ends processes."""
    async with running_servers(tmp_path / "data") as servers:
        yield servers


@pytest.fixture
async def stack_database(servers: Servers) -> AsyncIterator[StackDatabase]:
    stack_database = StackDatabase(servers.info.database_url)
    yield stack_database
    await stack_database.close()
