"""Provide small children made of `python -c`, a supervisor that is always stopped, polling, and settings."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from embedded.processes import ProcessSpec
from embedded.supervisor import Supervisor
from tests.polling import wait_until

SLEEPER = "import time; time.sleep(300)"
Eventually = Callable[..., Awaitable[float]]
MakeChild = Callable[..., ProcessSpec]


def settings_for(tmp_path: Path, **given: Any) -> Settings:
    return Settings(_env_file=None, env="dev", data_dir=tmp_path, **given)


@pytest.fixture
def eventually() -> Eventually:
    """Poll until a condition holds. Return the seconds it took. Fail after `within`."""
    return wait_until


@pytest.fixture
def make_child(tmp_path: Path) -> MakeChild:
    def make(name: str = "sleeper", code: str = SLEEPER, **options: Any) -> ProcessSpec:
        return ProcessSpec(name=name, argv=(sys.executable, "-S", "-c", code), log=tmp_path / f"{name}.log", **options)

    return make


@pytest.fixture
def lines() -> list[str]:
    """Return the supervisor's output."""
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, lines: list[str]) -> AsyncIterator[Supervisor]:
    async with Supervisor(tmp_path, print_line=lines.append) as supervisor:
        yield supervisor
