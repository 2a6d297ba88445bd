"""Start the servers of one run: Postgres, Temporal, API and workers as in `make run`, on free ports."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import asyncpg

from bootstrap import prepare_database
from config import Settings
from dispatch.temporal.preparation import prepare_temporal
from embedded.cluster import Cluster
from embedded.datadir import DataDir
from embedded.environment import StackAddresses, StackSecrets, child_environment
from embedded.ports import free_port
from embedded.postgres import Postgres
from embedded.processes import ProcessSpec, with_parent_death_signal
from embedded.readiness import Probe, responds_ok
from embedded.stack import CHECKOUT
from embedded.supervisor import Supervisor
from embedded.temporal import Temporal

SANDBOX_CHANNELS = ("EMAIL", "SMS", "PUSH", "WEB_PUSH", "WEBHOOK", "CHAT")
WORKER = ("worker.py",)
WORKER_READY = "worker ready"
START_TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class BenchmarkServers:
    """Hold the addresses for the measurements and the environment that a worker needs."""

    places: StackAddresses
    api_key: str
    env: dict[str, str]
    logs: Path

    @property
    def records(self) -> Path:
        """Return the directory of the pid files."""
        return self.logs.parent / "run"

    @property
    def dsn(self) -> str:
        return self.places.database_url.replace("postgresql+asyncpg", "postgresql", 1)


@asynccontextmanager
async def start_servers(home: Path, temporal_address: str = "") -> AsyncIterator[BenchmarkServers]:
    """Start the servers. The caller creates `home`, absolute, and removes it. They are durable as in production: fsync
    on, Temporal in a file.

    `temporal_address` replaces the run's own Temporal server.
    """
    # In the environment, which overrides a `.env`: nothing leaves this machine, and nothing is held back.
    os.environ.update(
        {f"TOCSIN_{pool}_PROVIDERS": "sandbox" for pool in SANDBOX_CHANNELS} | {"TOCSIN_SANDBOX_RATE": "0"}
    )
    data = DataDir.at(home)
    data.make()
    async with Supervisor(data.records) as supervisor:
        database_url = await _start_postgres(supervisor, data)
        address = temporal_address or await _start_temporal(supervisor, data)
        if temporal_address:
            await prepare_temporal(address, "default")
        servers = _build_servers(data, database_url, address)
        await supervisor.start(_api_process("api", servers))
        yield servers


@asynccontextmanager
async def start_second_api(servers: BenchmarkServers, name: str) -> AsyncIterator[BenchmarkServers]:
    """Start an API process `name` with an empty database of that name."""
    connection = await asyncpg.connect(servers.dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = f"{servers.places.database_url.rpartition('/')[0]}/{name}"
    await prepare_database(url)
    places = replace(servers.places, database_url=url, api_port=free_port())
    own = {
        "TOCSIN_DATABASE_URL": url,
        "TOCSIN_API_PORT": str(places.api_port),
        "TOCSIN_PUBLIC_URL": places.api_url,
    }
    second = replace(servers, places=places, env=servers.env | own)
    async with Supervisor(servers.records) as supervisor:
        await supervisor.start(_api_process(name, second))
        yield second


@asynccontextmanager
async def run_process(
    servers: BenchmarkServers, name: str, *command: str, ready: str = WORKER_READY
) -> AsyncIterator[None]:
    """Run a process while the block runs. `ready` is the text of its log that shows it is ready."""
    log = servers.logs / f"{name}.log"
    before = log.read_text().count(ready) if log.exists() else 0

    async def is_ready() -> bool:
        return log.read_text().count(ready) > before

    async with Supervisor(servers.records) as supervisor:
        await supervisor.start(_build_process(name, command, servers.logs, servers.env, is_ready))
        yield


async def _start_postgres(supervisor: Supervisor, data: DataDir) -> str:
    cluster = Cluster(data.root)
    await asyncio.to_thread(cluster.prepare)
    postgres = Postgres(cluster=cluster, port=free_port(), log=data.logs / "postgres.log")
    await supervisor.start(postgres.child())
    await prepare_database(postgres.url)
    return postgres.url


async def _start_temporal(supervisor: Supervisor, data: DataDir) -> str:
    temporal = Temporal(port=free_port(), log=data.logs / "temporal.log", file=data.root / "temporal.db")
    await supervisor.start(temporal.child(partial(prepare_temporal, temporal.address, temporal.namespace)))
    return temporal.address


def _build_servers(data: DataDir, database_url: str, temporal_address: str) -> BenchmarkServers:
    places = StackAddresses(
        database_url=database_url,
        temporal_address=temporal_address,
        temporal_ui_url="",
        api_host="127.0.0.1",
        api_port=free_port(),
    )
    settings = Settings(env="dev", start_rate=0, log_level="info", _env_file=None)
    keys = StackSecrets.of(settings, data)
    env = child_environment(settings, data, places, keys) | {
        "TOCSIN_LOG_LEVEL": "info",
        "TOCSIN_TEMPORAL_NAMESPACE": "default",
        # Like the floor's worker: one process, and so one core, unless the run has more.
        "TOCSIN_WORKERS": os.environ.get("TOCSIN_WORKERS", "1"),
    }
    return BenchmarkServers(places=places, api_key=keys.api_key, env=env, logs=data.logs)


def _api_process(name: str, servers: BenchmarkServers) -> ProcessSpec:
    ready = partial(responds_ok, servers.places.api_host, servers.places.api_port, "/readyz")
    return _build_process(name, ("-m", "api"), servers.logs, servers.env, ready)


def _build_process(name: str, command: tuple[str, ...], logs: Path, env: dict[str, str], ready: Probe) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=with_parent_death_signal((sys.executable, *command)),
        log=logs / f"{name}.log",
        env=env,
        cwd=CHECKOUT,
        ready=ready,
        ready_timeout=START_TIMEOUT,
        grace=10,
    )
