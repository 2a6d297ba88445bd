"""Fixtures of two tenants of one API in this process. No engine runs behind it."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from api.app import create_app
from api.limits.rate_limits import RateLimits
from bootstrap import Container
from storage.api_keys import upsert_key
from tests.api.limited_apps import Limited, settings
from tests.api.multi_sends import put_lamps
from tests.api.news_sends import put_news
from tests.api_tenants import SCOPES, ApiTenant, in_process_client, open_in_process_tenant
from tests.apps import app_of
from tests.installation_keys import installation_key
from tests.storage.recipient_histories import StoredHistory, recipient_with_history


@pytest.fixture
async def api_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    async with open_in_process_tenant(container) as api_tenant:
        yield api_tenant


@pytest.fixture
async def other_api_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    async with open_in_process_tenant(container) as api_tenant:
        yield api_tenant


@pytest.fixture
async def news_tenant(api_tenant: ApiTenant) -> ApiTenant:
    """Return a tenant with a type `news` (email, then SMS) and a recipient `ada`."""
    await put_news(api_tenant)
    return api_tenant


@pytest.fixture
async def store(api_tenant: ApiTenant) -> ApiTenant:
    """Return a tenant with a type `shipped` (SMS, priority 3), three recipients, and a topic `lamps` with them."""
    await put_lamps(api_tenant)
    return api_tenant


@pytest.fixture
async def known(api_tenant: ApiTenant) -> StoredHistory:
    """Create a recipient with one email in the sandbox and one message in the inbox."""
    return await recipient_with_history(api_tenant.database, api_tenant.tenant, api_tenant.recipient_id)


@pytest.fixture
def api(api_tenant: ApiTenant) -> AsyncClient:
    return api_tenant.http


@pytest.fixture
async def operator(container: Container) -> AsyncIterator[AsyncClient]:
    """Return a client with all scopes of the installation's own tenant."""
    async with in_process_client(app_of(container), await installation_key(container.database)) as http:
        yield http


@pytest.fixture(scope="session")
def limited_app(container: Container) -> FastAPI:
    """Return an application that only `limited` uses: its limits change."""
    return create_app(container)


@pytest.fixture
async def limited(limited_app: FastAPI, container: Container, api_tenant: ApiTenant) -> AsyncIterator[Limited]:
    async def new_key() -> str:
        async with container.database.transaction() as session:
            _, key = await upsert_key(session, api_tenant.tenant, "test", SCOPES)
        return key

    yield Limited(limited_app, new_key)
    limited_app.state.rate_limits = RateLimits(settings())
