"""A pytest plugin for people who keep types and templates: `pytest_plugins = ["testing.plugin"]` in their conftest."""

from collections.abc import Iterator

import pytest

from testing.liveness import first_death
from testing.stage import Stage, open_stage
from testing.tocsin import Tocsin, open_tenant


def pytest_runtest_setup(item: pytest.Item) -> None:
    """End the session if a shared part has died: every later test could only wait for its deadline."""
    if (death := first_death()) is not None:
        item.session.shouldstop = death
        pytest.fail(death, pytrace=False)


@pytest.fixture(scope="session")
def tocsin_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Servers and engine, started once."""
    with open_stage(tmp_path_factory.mktemp("tocsin")) as stage:
        yield stage


@pytest.fixture
def tocsin(tocsin_stage: Stage) -> Iterator[Tocsin]:
    """A tenant that has nothing yet, at the machine's time."""
    with open_tenant(tocsin_stage) as tocsin:
        yield tocsin
