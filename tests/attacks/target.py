"""Run the API in its own process with a real Postgres, as the target of the attacks."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx2

from config.sources import PREFIX
from embedded.ports import LOOPBACK, free_port
from embedded.processes import ProcessSpec, with_parent_death_signal
from embedded.readiness import responds_ok
from embedded.stack import CHECKOUT
from embedded.supervisor import Supervisor
from faults.stack_run import descendants
from storage.database import Database
from tests.api_tenants import ApiTenant, bearer, create_tenant
from tests.storage.databases import create_database

START_TIMEOUT = 60.0
RESPONSE_TIMEOUT = 120.0
MEGABYTE = 1024 * 1024
# Accepts no connection. Endpoints that only read and write rows need no Temporal.
NO_TEMPORAL = f"{LOOPBACK}:1"


@dataclass(frozen=True, kw_only=True)
class AttackedApi:
    """Hold a running API. `pid` is that of its process: a restart would hide a crash, so `is_alive` compares it."""

    port: int
    pid: int
    supervisor: Supervisor
    database: Database

    @property
    def is_alive(self) -> bool:
        return self.supervisor.pids.get("api") == self.pid

    @property
    def memory(self) -> float:
        """Return the megabytes of the process and its children. A shared page counts once."""
        return sum(map(_memory, (self.pid, *descendants(self.pid)))) / MEGABYTE

    @property
    def cpu_wait(self) -> float:
        """Return the seconds in which its threads were ready to run and had no CPU, since their start."""
        return sum(map(_cpu_wait, Path(f"/proc/{self.pid}/task").glob("*/schedstat")))

    @asynccontextmanager
    async def tenant(self, *scopes: str) -> AsyncIterator[ApiTenant]:
        """Yield a new tenant whose key has these scopes, or send, read and manage."""
        tenant, key = await create_tenant(self.database, *scopes)
        base, headers = f"http://{LOOPBACK}:{self.port}/api/v1", bearer(key)
        async with httpx2.AsyncClient(
            base_url=base, headers=headers, trust_env=False, timeout=RESPONSE_TIMEOUT
        ) as http:
            yield ApiTenant(tenant=tenant.id, tenant_key=tenant.key, key=key, http=http, database=self.database)


@asynccontextmanager
async def running_target(database_url: str, home: Path) -> AsyncIterator[AttackedApi]:
    """Run the API. `home`, absolute, exists and holds the log."""
    url, port = await create_database(database_url, f"attacks_{uuid4().hex}"), free_port()
    child = ProcessSpec(
        name="api",
        argv=with_parent_death_signal((sys.executable, "-m", "api")),
        log=home / "api.log",
        env=_environment(url, port, home),
        cwd=home,  # a `.env` in the checkout has no effect there
        ready=partial(responds_ok, LOOPBACK, port, "/readyz"),
        ready_timeout=START_TIMEOUT,
    )
    database = Database(url, pool_size=2)
    try:
        async with Supervisor(home) as supervisor:
            await supervisor.start(child)
            yield AttackedApi(port=port, pid=supervisor.pids["api"], supervisor=supervisor, database=database)
    finally:
        await database.close()


def _environment(database_url: str, port: int, home: Path) -> dict[str, str]:
    settings = {
        "ENV": "dev",
        "DATA_DIR": str(home),
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": NO_TEMPORAL,
        "API_HOST": LOOPBACK,
        "API_PORT": str(port),
        "LOG_LEVEL": "warning",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**clean, **{f"{PREFIX}{name}": value for name, value in settings.items()}, "PYTHONPATH": str(CHECKOUT)}


def _cpu_wait(schedstat: Path) -> float:
    """Return the waiting time of a thread; 0 for one that has ended, and on a kernel that does not count it."""
    try:
        return int(schedstat.read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _memory(pid: int) -> int:
    """Return the proportional set size in bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
