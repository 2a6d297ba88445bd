"""Test that one process leads, that another replaces a silent one, and that a dead session is replaced."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import pytest
from sqlalchemy import text

from dispatch import notify_listener
from dispatch.leases import LEASE_TTL, RENEWALS_PER_TTL, ProcessLease
from dispatch.notify_listener import NotifyListener
from domain.names import DISPATCH_CHANNEL, FLUSH_CHANNEL
from embedded.ports import free_port
from faults.proxy import Proxy
from storage.database import Database
from tests.polling import eventually, wait_until
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres

SHORT = 0.6
CHANNELS = (DISPATCH_CHANNEL, FLUSH_CHANNEL)
NOTIFY = text("SELECT pg_notify(:channel, :payload)")


@dataclass
class ListeningProcess:
    """Record what one process is notified of, and whether it leads."""

    notify_listener: NotifyListener
    heard: list[tuple[str, str]] = field(default_factory=list)


def _note(heard: list[tuple[str, str]], channel: str, payload: str) -> None:
    heard.append((channel, payload))


@asynccontextmanager
async def process(database: Database, ttl: float = SHORT) -> AsyncIterator[ListeningProcess]:
    heard: list[tuple[str, str]] = []
    on_notify = {channel: partial(_note, heard, channel) for channel in CHANNELS}
    listening = NotifyListener(database, on_notify, ProcessLease("leader", ttl))
    running = asyncio.create_task(listening.run())
    try:
        yield ListeningProcess(listening, heard)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


class CountedDatabase(Database):
    """Count the sessions outside the pool."""

    opened = 0

    async def dedicated(self) -> asyncpg.Connection:
        self.opened += 1
        return await super().dedicated()


@asynccontextmanager
async def proxied_database(database: Database) -> AsyncIterator[tuple[CountedDatabase, Proxy]]:
    """Provide the same database behind a connection that can be cut."""
    server = database.engine.url
    assert server.port
    wire = Proxy(free_port(), server.port)
    url = database.url.replace(f":{server.port}/", f":{wire.port}/")
    async with wire.open():
        yield CountedDatabase(url), wire


async def wait_until_notified(database: Database, process: ListeningProcess, payload: str) -> None:
    """Wait until the process gets an announcement. Announcements before it listens are not repeated."""

    async def announce() -> bool:
        async with database.transaction() as session:
            await session.execute(NOTIFY, {"channel": DISPATCH_CHANNEL, "payload": payload})
        return (DISPATCH_CHANNEL, payload) in process.heard

    await eventually(announce, bool)


def test_a_silent_leader_is_replaced_within_five_seconds() -> None:
    assert LEASE_TTL + LEASE_TTL / RENEWALS_PER_TTL < 5


async def test_a_process_that_stood_still_for_the_term_does_not_lead(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, asked_at = ProcessLease("leader", ttl=60), time.monotonic()
    async with database.statement() as session:
        assert await lease.acquire(session)
        assert not await lease.acquire(session)
    assert lease.is_held
    monkeypatch.setattr(time, "monotonic", lambda: asked_at + 61)
    assert not lease.is_held


async def test_another_process_leads_as_soon_as_the_leader_ends(database: Database) -> None:
    async with AsyncExitStack() as first_ends:
        first = await first_ends.enter_async_context(process(database, ttl=60))
        await wait_until(lambda: first.notify_listener.is_leader)
        async with process(database) as second:
            await wait_until(lambda: (FLUSH_CHANNEL, "") in second.heard)
            assert not second.notify_listener.is_leader
            await first_ends.aclose()
            assert not first.notify_listener.is_leader
            await wait_until(lambda: second.notify_listener.is_leader, within=5)


async def test_a_leader_with_a_silent_database_is_replaced_and_listens_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_listener, "RESPONSE_TIMEOUT", SHORT)
    async with proxied_database(database) as (behind, wire), process(behind) as first:
        await wait_until(lambda: first.notify_listener.is_leader)
        async with process(database) as second:
            with wire.dead():
                await wait_until(lambda: second.notify_listener.is_leader, within=5)
                assert not first.notify_listener.is_leader
                first.heard.clear()
                await wait_until(lambda: behind.opened > 1)
            await wait_until_notified(database, first, "urgent")
            assert (first.notify_listener.is_leader, second.notify_listener.is_leader) == (False, True)
