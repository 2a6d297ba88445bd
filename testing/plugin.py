"""Provide a pytest plugin for projects with types and templates: `pytest_plugins = ["testing.plugin"]` in
conftest.py.
"""

from collections.abc import Iterator

import pytest

from testing.installation import LocalInstallation, open_installation
from testing.liveness import find_dead_part
from testing.tocsin import Tocsin, open_tenant


def pytest_runtest_setup(item: pytest.Item) -> None:
    """End the session if a shared part has died: every later test could only wait for its timeout."""
    if (dead_part := find_dead_part()) is not None:
        item.session.shouldstop = dead_part
        pytest.fail(dead_part, pytrace=False)


@pytest.fixture(scope="session")
def tocsin_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalInstallation]:
    """Start servers and engine once."""
    with open_installation(tmp_path_factory.mktemp("tocsin")) as installation:
        yield installation


@pytest.fixture
def tocsin(tocsin_installation: LocalInstallation) -> Iterator[Tocsin]:
    """Create an empty tenant, at the machine's time."""
    with open_tenant(tocsin_installation) as tocsin:
        yield tocsin
