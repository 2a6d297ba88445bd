"""Run worker processes (`worker.py`) for an API that runs in the test's process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from config import Settings
from config.sources import PREFIX
from domain.channels import Channel
from embedded.processes import ProcessSpec, with_parent_death_signal
from embedded.stack import CHECKOUT
from embedded.supervisor import Supervisor


class WorkerGroup:
    def __init__(self, supervisor: Supervisor, settings: Settings, home: Path) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._home = home

    @property
    def pids(self) -> set[int]:
        return set(self._supervisor.pids.values())

    async def start(self, *names: str) -> None:
        """Start workers, and return when they poll their queues."""
        await asyncio.gather(*(self._supervisor.start(self._process_spec(name)) for name in names))

    def _process_spec(self, name: str) -> ProcessSpec:
        log = self._home / f"{name}.log"
        return ProcessSpec(
            name=name,
            argv=with_parent_death_signal((sys.executable, str(CHECKOUT / "worker.py"))),
            log=log,
            env=self._environment,
            cwd=self._home,  # without a `.env` file
            ready=partial(_is_ready, log),
            ready_timeout=60,
        )

    @property
    def _environment(self) -> dict[str, str]:
        """Return the environment of a worker. The test's own environment has the credentials of vendors."""
        settings = self._settings
        values = {
            "ENV": settings.env,
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "DRAIN_TIMEOUT": f"{settings.drain_timeout:g}",
            "RESUME_RATE": f"{settings.resume_rate:g}",
            "API_PORT": str(settings.api_port),
            "WORKERS": "1",
            "EMAIL_PROVIDERS": ",".join(settings.pool(Channel.EMAIL)),
        }
        variables = {f"{PREFIX}{name}": value for name, value in values.items()}
        return {**os.environ, **variables, "PYTHONPATH": str(CHECKOUT)}


async def _is_ready(log: Path) -> bool:
    return '"worker ready"' in await asyncio.to_thread(log.read_text)


@asynccontextmanager
async def open_worker_group(settings: Settings, home: Path) -> AsyncIterator[WorkerGroup]:
    """Open a group without workers, and stop its workers at the end. `home` is the folder of their logs."""
    async with Supervisor(home) as supervisor:
        yield WorkerGroup(supervisor, settings, home)
