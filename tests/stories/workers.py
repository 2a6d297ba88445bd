"""Workers as processes of their own, `worker.py` as it is, beside an API that runs in the test's process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from config import Settings
from config_sources import PREFIX
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
        """Ready to poll their queues by the time that this returns."""
        await asyncio.gather(*(self._supervisor.start(self._child(name)) for name in names))

    def _child(self, name: str) -> ProcessSpec:
        log = self._home / f"{name}.log"
        return ProcessSpec(
            name=name,
            argv=with_parent_death_signal((sys.executable, str(CHECKOUT / "worker.py"))),
            log=log,
            env=self._environment,
            cwd=self._home,  # no `.env` there has a say
            ready=partial(_says_ready, log),
            ready_timeout=60,
        )

    @property
    def _environment(self) -> dict[str, str]:
        """Vendors' accounts are in the test's own environment already."""
        settings = self._settings
        given = {
            "ENV": settings.env,
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "DRAIN_TIMEOUT": f"{settings.drain_timeout:g}",
            "RESUME_RATE": f"{settings.resume_rate:g}",
            "API_PORT": str(settings.api_port),
            "WORKERS": "1",
            "EMAIL_PROVIDERS": ",".join(settings.pool(Channel.EMAIL)),
        }
        ours = {f"{PREFIX}{name}": value for name, value in given.items()}
        return {**os.environ, **ours, "PYTHONPATH": str(CHECKOUT)}


async def _says_ready(log: Path) -> bool:
    return '"worker ready"' in await asyncio.to_thread(log.read_text)


@asynccontextmanager
async def worker_processes(settings: Settings, home: Path) -> AsyncIterator[WorkerGroup]:
    """None yet; those that were started are stopped at the end. `home` takes their logs."""
    async with Supervisor(home) as supervisor:
        yield WorkerGroup(supervisor, settings, home)
