"""One API process for all attacks, and an attacker with a tenant of its own for each.

The modules share the process (`tests/scheduling.py`). It ends with this package.
"""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.attacks.arena import Arena, prepared
from tests.attacks.target import running_target


@pytest.fixture(scope="package")
async def arena(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    async with running_target(database_url, tmp_path_factory.mktemp("attacks")) as target:
        yield await prepared(target)


@pytest.fixture
async def attacker(arena: Arena) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose key has the scopes send, read and manage."""
    async with arena.target.tenant() as client:
        yield client
