"""Test that announcements wake the workers after the commit, in batches."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatch.work_announcer import WorkAnnouncer
from domain.names import CANCEL_DUE, COLLECT_DUE, DISPATCH_CHANNEL, QUEUE_DUE, RATES_DUE
from storage.database import Database
from tests.polling import eventually

pytestmark = pytest.mark.postgres


@pytest.fixture
async def heard(database: Database) -> AsyncIterator[list[str]]:
    heard: list[str] = []
    connection: asyncpg.Connection = await database.dedicated()
    await connection.add_listener(DISPATCH_CHANNEL, lambda *notified: heard.append(str(notified[3])))
    yield heard
    await connection.close()


async def heard_all(heard: list[str], *wanted: str) -> None:
    async def look() -> set[str]:
        return set(heard)

    await eventually(look, lambda seen: seen >= set(wanted))


async def test_concurrent_announcements_are_sent_together(database: Database, heard: list[str]) -> None:
    announcements = WorkAnnouncer(database)
    running = asyncio.create_task(announcements.run())
    for _ in range(100):
        announcements.announce(QUEUE_DUE)
    announcements.announce(COLLECT_DUE)
    await heard_all(heard, QUEUE_DUE, COLLECT_DUE)
    assert heard.count(QUEUE_DUE) == 1
    announcements.announce(CANCEL_DUE)
    await heard_all(heard, CANCEL_DUE)
    announcements.announce(RATES_DUE)
    await heard_all(heard, RATES_DUE)
    assert sorted(heard) == sorted([QUEUE_DUE, COLLECT_DUE, CANCEL_DUE, RATES_DUE])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
