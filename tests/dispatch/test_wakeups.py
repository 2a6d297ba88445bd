"""One process leads, another takes over from one that falls silent, and a session that is dead is replaced."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import pytest
from sqlalchemy import text

from dispatch import wakeups
from dispatch.leases import RENEWALS_PER_TERM, TERM, Lease
from dispatch.wakeups import Wakeups
from domain.names import DISPATCH_CHANNEL, FLUSH_CHANNEL
from embedded.ports import free_port
from storage.database import Database
from tests.faults.proxy import Proxy
from tests.polling import eventually, holds
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres

SHORT = 0.6
CHANNELS = (DISPATCH_CHANNEL, FLUSH_CHANNEL)
NOTIFY = text("SELECT pg_notify(:channel, :payload)")


@dataclass
class Process:
    """What one process hears, and whether it leads."""

    wakeups: Wakeups
    heard: list[tuple[str, str]] = field(default_factory=list)


def _note(heard: list[tuple[str, str]], channel: str, payload: str) -> None:
    heard.append((channel, payload))


@asynccontextmanager
async def process(database: Database, term: float = SHORT) -> AsyncIterator[Process]:
    heard: list[tuple[str, str]] = []
    on_notify = {channel: partial(_note, heard, channel) for channel in CHANNELS}
    listening = Wakeups(database, on_notify, Lease("leader", term))
    running = asyncio.create_task(listening.run())
    try:
        yield Process(listening, heard)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


class CountedDatabase(Database):
    """Counts the sessions outside the pool."""

    opened = 0

    async def dedicated(self) -> asyncpg.Connection:
        self.opened += 1
        return await super().dedicated()


@asynccontextmanager
async def wired(database: Database) -> AsyncIterator[tuple[CountedDatabase, Proxy]]:
    """The same database behind a wire that can be dead."""
    server = database.engine.url
    assert server.port
    wire = Proxy(free_port(), server.port)
    url = database.url.replace(f":{server.port}/", f":{wire.port}/")
    async with wire.open():
        yield CountedDatabase(url), wire


async def hears(database: Database, process: Process, payload: str) -> None:
    """Wait until the process hears an announcement. What is announced before it listens is not repeated for it."""

    async def announce() -> bool:
        async with database.transaction() as session:
            await session.execute(NOTIFY, {"channel": DISPATCH_CHANNEL, "payload": payload})
        return (DISPATCH_CHANNEL, payload) in process.heard

    await eventually(announce, bool)


def test_a_silent_leader_is_replaced_within_five_seconds() -> None:
    assert TERM + TERM / RENEWALS_PER_TERM < 5


async def test_a_process_that_stood_still_for_the_term_does_not_lead(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, asked_at = Lease("leader", term=60), time.monotonic()
    async with database.statement() as session:
        assert await lease.take(session)
        assert not await lease.take(session)
    assert lease.is_held
    monkeypatch.setattr(time, "monotonic", lambda: asked_at + 61)
    assert not lease.is_held


async def test_another_process_leads_as_soon_as_the_leader_ends(database: Database) -> None:
    async with AsyncExitStack() as first_ends:
        first = await first_ends.enter_async_context(process(database, term=60))
        await holds(lambda: first.wakeups.leading)
        async with process(database) as second:
            await holds(lambda: (FLUSH_CHANNEL, "") in second.heard)
            assert not second.wakeups.leading
            await first_ends.aclose()
            assert not first.wakeups.leading
            await holds(lambda: second.wakeups.leading, within=5)


async def test_a_leader_whose_database_falls_silent_is_replaced_and_listens_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "ANSWERS_WITHIN", SHORT)
    async with wired(database) as (behind, wire), process(behind) as first:
        await holds(lambda: first.wakeups.leading)
        async with process(database) as second:
            with wire.dead():
                await holds(lambda: second.wakeups.leading, within=5)
                assert not first.wakeups.leading
                first.heard.clear()
                await holds(lambda: behind.opened > 1)
            await hears(database, first, "urgent")
            assert (first.wakeups.leading, second.wakeups.leading) == (False, True)
