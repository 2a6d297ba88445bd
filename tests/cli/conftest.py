from pathlib import Path

import pytest

from tests.api_tenants import ApiTenant
from tests.cli.terminal import Terminal, open_terminal


@pytest.fixture
def terminal(tmp_path: Path, api_tenant: ApiTenant, forks: Path) -> Terminal:
    return open_terminal(tmp_path, api_tenant, forks)


@pytest.fixture
async def hello(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("hello", ["email"])
