"""Two tenants of one installation, each with a client that has all scopes. No engine runs behind the API."""

from collections.abc import AsyncIterator

import pytest

from bootstrap import Parts
from tests.api.shops import Shop, open_shop


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    async with open_shop(parts) as shop:
        yield shop


@pytest.fixture
async def other_shop(parts: Parts) -> AsyncIterator[Shop]:
    async with open_shop(parts) as shop:
        yield shop
