"""Provide real servers: one Postgres, one Temporal and one running engine per session, and a new tenant per test."""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpcore2
import hypothesis
import pytest
import uvloop

from bootstrap import Container, open_container
from config import Settings
from embedded.temporary_servers import temporary_postgres
from rendering.renderer import Renderer
from storage.database import Database
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.cli.fork_server import running_fork_server
from tests.engine import Engine, running_engine
from tests.scheduling import UnitScheduling
from tests.storage.databases import create_database, create_template, write_less

pytest_plugins = ["testing.plugin"]

HERE = Path(__file__).parent

# A TLS context reads all certificates of the machine: 20 ms of CPU for each client of a test that uses only HTTP.
httpcore2.default_ssl_context = cache(httpcore2.default_ssl_context)

# Imported modules and collected tests live as long as the session. With Python's own thresholds, the search for garbage
# among them takes a third of the collection's CPU time and an eighth of the tests'.
gc.set_threshold(50_000, 20, 100)

# Examples per property: few in the suite, many in `make faults` (--hypothesis-profile).
hypothesis.settings.register_profile("suite", max_examples=60, deadline=None)
hypothesis.settings.register_profile("long", max_examples=500, deadline=None)
hypothesis.settings.load_profile("suite")

# Long modules run first, so that the parallel workers end at about the same time.
LONG_FIRST = (
    *("faults", "testing", "docs", "stories", "workflows", "supervision", "attacks"),
    *("examples", "embedded", "cli", "rendering"),
)


def pytest_configure() -> None:
    """Stop ignoring SIGINT. Background jobs of a shell ignore it, and child processes would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the folders with long tests first."""
    items.sort(key=_folder_rank)


def pytest_collection_finish() -> None:
    """Exclude what exists now from the search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> UnitScheduling:
    """Keep the tests of a module in one process. `log` is silent unless pytest debugs itself."""
    return UnitScheduling(config, log)


def _folder_rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(HERE).parts[0]
    return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)


@pytest.fixture(scope="session")
def _asyncio_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Run tests on the event loop of the server processes, which takes less CPU time than asyncio's own.

    The hook of pytest-asyncio for this is unusable: it gives async tests a parameter. A sync test that shares a fixture
    with them has no such parameter and would end the session's loop.
    """
    return uvloop.new_event_loop


@pytest.fixture(scope="session")
async def database_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    home: Path = tmp_path_factory.mktemp("postgres")
    async with temporary_postgres(home) as postgres:
        await write_less(postgres.url)
        await create_template(postgres.url)
        yield await create_database(postgres.url, "shared")


@pytest.fixture(scope="session")
async def container(database_url: str) -> AsyncIterator[Container]:
    """Return the container that bootstrap builds, with an unreachable Temporal: storing and reading do not need it."""
    settings = Settings(env="dev", database_url=database_url, temporal_address="127.0.0.1:1", _env_file=None)
    async with open_container(settings) as container:
        yield container


@pytest.fixture(scope="session")
def database(container: Container) -> Database:
    return container.database


@pytest.fixture(scope="session")
def renderer(container: Container) -> Renderer:
    return container.renderer


@pytest.fixture(scope="session")
async def engine(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with running_engine(database_url, tmp_path_factory.mktemp("temporal")) as engine:
        yield engine


@pytest.fixture
async def api_tenant(engine: Engine) -> AsyncIterator[ApiTenant]:
    """Return a new tenant of the running engine."""
    async with open_api_tenant(engine) as api_tenant:
        yield api_tenant


@pytest.fixture(scope="session")
async def forks() -> AsyncIterator[Path]:
    """Return the socket of a fork server for `tocsin` commands."""
    async with running_fork_server() as socket:
        yield socket
