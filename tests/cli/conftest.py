from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, open_terminal
from tests.engine import Shop


@pytest.fixture
def terminal(tmp_path: Path, shop: Shop, forks: Path) -> Terminal:
    return open_terminal(tmp_path, shop, forks)
