"""Provide a database per module that no dispatcher of a running engine reads, and a tenant with event endpoints."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.dispatch.webhook_tenants import WebhookTenant, open_webhook_tenant
from tests.receivers import EventReceiver, open_event_receiver
from tests.storage.databases import own_database


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def webhook_tenant(database: Database) -> AsyncIterator[WebhookTenant]:
    """Claims are made over all tenants: the database contains only what the test inserts."""
    async with open_webhook_tenant(database) as webhook_tenant:
        await webhook_tenant.query("TRUNCATE event_endpoint CASCADE")
        yield webhook_tenant


@pytest.fixture
async def receiver() -> AsyncIterator[EventReceiver]:
    async with open_event_receiver() as receiver:
        yield receiver
