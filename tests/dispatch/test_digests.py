"""What the dispatcher does for digests, where not all of it can be done."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dispatch.digests import Digests
from dispatch.starter import Starter
from storage import recipients
from storage.catalog import Catalog
from storage.database import Database
from tests.engine import Engine
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.sends import open_desk
from tests.storage.windows import accept, collect, made, windows

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def alone(database_url: str) -> AsyncIterator[Database]:
    """Where the engine's own dispatcher does nothing."""
    async with own_database(database_url) as database:
        yield database


async def test_a_window_that_cannot_be_closed_keeps_no_other_from_its_workflow(alone: Database, engine: Engine) -> None:
    desk = await open_desk(alone, digest={"window": "1h"})
    await accept(desk, 1, group="overdue")
    await collect(desk)
    await desk.query("UPDATE digest SET closes_at = now() - interval '1 minute'")
    await accept(desk, 1)
    await collect(desk)
    duty = Digests(alone, Catalog(alone), Starter(engine.temporal))
    async with alone.transaction() as session:
        await recipients.find(session, desk.tenant, desk.recipient_id, lock=True)
        telling = asyncio.create_task(duty.tell())
        await until_blocked(alone, telling)
        assert None not in [window["told_at"] for window in await windows(desk)]
    assert await telling == 0.0
    assert [window["closed_at"] is None for window in await windows(desk)] == [False, True]


async def test_what_is_full_is_closed_with_what_filled_it(alone: Database, engine: Engine) -> None:
    desk = await open_desk(alone, digest={"window": "1h", "max_items": 2})
    await accept(desk, 5)
    assert await Digests(alone, Catalog(alone), Starter(engine.temporal)).collect() > 0
    assert [row["event_payload"]["total"] for row in await made(desk)] == [2, 2]
