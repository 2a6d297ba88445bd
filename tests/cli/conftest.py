from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, open_terminal
from tests.engine import ApiTenant


@pytest.fixture
def terminal(tmp_path: Path, api_tenant: ApiTenant, forks: Path) -> Terminal:
    return open_terminal(tmp_path, api_tenant, forks)
