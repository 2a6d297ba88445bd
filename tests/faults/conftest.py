"""One stack without a start rate that all faults share: each test leaves it healthy, and nothing open.

It ends with the last test of this package: an idle stack takes a tenth of a core from the tests that follow.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.books import Books
from tests.faults.customer import Customer, customer_at
from tests.faults.invariants import EVERY_ONE_ENDS, broken
from tests.faults.running import Run, running
from tests.faults.servers import Servers, serving
from tests.polling import eventually

OPEN = f"SELECT count(*) FROM ({EVERY_ONE_ENDS}) still_open"
ON_THEIR_WAY = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND status IN ('PENDING', 'SENT')"
# A call that was cut off is known to be so when its time-out of ten seconds is over; twice, after two kills.
ENDED_WITHIN = 240
RECEIPTS_WITHIN = 60


@dataclass(frozen=True, kw_only=True)
class Stage:
    run: Run
    books: Books
    customer: Customer

    async def in_the_middle(self, ids: list[str], sent: int) -> None:
        """Waits until so many of them are sent, and sees to it that not all are."""
        assert await eventually(lambda: self.books.sent(ids), lambda seen: seen >= sent) < len(ids)

    async def over(self, ids: list[str], within: float = ENDED_WITHIN) -> dict[str, str]:
        """Waits for the end of everything and for the receipts of these; their statuses, with the promises checked."""
        await self.books.until(OPEN, is_=0, within=within)
        await self.books.until(ON_THEIR_WAY, ids, is_=0, within=RECEIPTS_WITHIN)
        assert await broken(self.books.rows) == {}
        return await self.books.statuses(ids)

    async def readiness(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.customer.http.get(f"{self.customer.url}/readyz")).json()
        return answer


@pytest.fixture(scope="package")
async def shared_run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    async with running(tmp_path_factory.mktemp("stack") / "data", START_RATE="0", WORKERS="1") as run:
        yield run


@pytest.fixture(scope="package")
async def stage(shared_run: Run) -> AsyncIterator[Stage]:
    async with set_stage(shared_run) as stage:
        yield stage


@asynccontextmanager
async def set_stage(run: Run) -> AsyncIterator[Stage]:
    books = Books(run.info.database_url)
    async with customer_at(run.info) as customer:
        await customer.type()
        yield Stage(run=run, books=books, customer=customer)
    await books.close()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """For one test that freezes or ends processes."""
    async with serving(tmp_path / "data") as servers:
        yield servers


@pytest.fixture
async def books(servers: Servers) -> AsyncIterator[Books]:
    books = Books(servers.info.database_url)
    yield books
    await books.close()
