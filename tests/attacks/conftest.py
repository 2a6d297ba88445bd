"""Run one API process for all attacks, and an attacker with its own tenant for each.

The modules share the process (`tests/scheduling.py`). It ends with this package.
"""

from collections.abc import AsyncIterator

import pytest

from tests.api_tenants import ApiTenant
from tests.attacks.attack_monitor import AttackMonitor, prepare_monitor
from tests.attacks.target import running_target


@pytest.fixture(scope="package")
async def attack_monitor(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AttackMonitor]:
    async with running_target(database_url, tmp_path_factory.mktemp("attacks")) as target:
        yield await prepare_monitor(target)


@pytest.fixture
async def attacker(attack_monitor: AttackMonitor) -> AsyncIterator[ApiTenant]:
    """Yield a tenant whose key has the scopes send, read and manage."""
    async with attack_monitor.target.tenant() as tenant:
        yield tenant
