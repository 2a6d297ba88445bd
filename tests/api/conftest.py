"""Fixtures of two tenants of one installation, each with a client that has all scopes. No engine runs behind the
API."""

from collections.abc import AsyncIterator

import pytest

from bootstrap import Container
from tests.api.in_process_tenants import InProcessTenant, open_in_process_tenant


@pytest.fixture
async def api_tenant(container: Container) -> AsyncIterator[InProcessTenant]:
    async with open_in_process_tenant(container) as api_tenant:
        yield api_tenant


@pytest.fixture
async def other_api_tenant(container: Container) -> AsyncIterator[InProcessTenant]:
    async with open_in_process_tenant(container) as api_tenant:
        yield api_tenant
