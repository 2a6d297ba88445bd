"""Test the dispatcher's tasks for digests when some of them fail."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dispatch.digests import DigestTasks
from dispatch.workflow_starter import WorkflowStarter
from storage import recipients
from storage.catalog import Catalog
from storage.database import Database
from tests.engine import Engine
from tests.storage.databases import own_database
from tests.storage.digest_windows import accept_items, collect, digest_notifications, windows
from tests.storage.locks import until_blocked
from tests.storage.sends import open_database_tenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def idle_database(database_url: str) -> AsyncIterator[Database]:
    """Provide an engine whose own dispatcher does nothing."""
    async with own_database(database_url) as database:
        yield database


async def test_a_window_that_cannot_be_closed_keeps_no_other_from_its_workflow(
    idle_database: Database, engine: Engine
) -> None:
    database_tenant = await open_database_tenant(idle_database, digest={"window": "1h"})
    await accept_items(database_tenant, 1, group="overdue")
    await collect(database_tenant)
    await database_tenant.query("UPDATE digest SET closes_at = now() - interval '1 minute'")
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    duty = DigestTasks(idle_database, Catalog(idle_database), WorkflowStarter(engine.temporal))
    async with idle_database.transaction() as session:
        await recipients.find(session, database_tenant.tenant, database_tenant.recipient_id, lock=True)
        telling = asyncio.create_task(duty.signal_pending_windows())
        await until_blocked(idle_database, telling)
        assert None not in [window["signaled_at"] for window in await windows(database_tenant)]
    assert await telling == 0.0
    assert [window["closed_at"] is None for window in await windows(database_tenant)] == [False, True]


async def test_a_full_window_is_closed_with_its_items(idle_database: Database, engine: Engine) -> None:
    database_tenant = await open_database_tenant(idle_database, digest={"window": "1h", "max_items": 2})
    await accept_items(database_tenant, 5)
    assert (
        await DigestTasks(idle_database, Catalog(idle_database), WorkflowStarter(engine.temporal)).collect_items() > 0
    )
    assert [row["event_payload"]["total"] for row in await digest_notifications(database_tenant)] == [2, 2]
