"""The servers of one run: Postgres, Temporal, API and workers as in `make run`, on free ports, for a while."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import asyncpg

from bootstrap import prepare_database, prepare_temporal
from config import Settings
from embedded.cluster import Cluster
from embedded.datadir import DataDir
from embedded.environment import Keys, Places, child_environment
from embedded.ports import free_port
from embedded.postgres import Postgres
from embedded.processes import Child, tethered
from embedded.readiness import Probe, answers_ok
from embedded.stack import CHECKOUT
from embedded.supervisor import Supervisor
from embedded.temporal import Temporal

POOLS = ("EMAIL", "SMS", "PUSH", "WEB_PUSH", "WEBHOOK")
WORKER = ("worker.py",)
WORKER_READY = "worker ready"
STARTED_WITHIN = 60.0


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What the measurements talk to, and the environment that a worker of ours needs."""

    places: Places
    api_key: str
    env: dict[str, str]
    logs: Path

    @property
    def records(self) -> Path:
        """Directory of the pid files."""
        return self.logs.parent / "run"

    @property
    def dsn(self) -> str:
        return self.places.database_url.replace("postgresql+asyncpg", "postgresql", 1)


@asynccontextmanager
async def servers(home: Path, temporal_address: str = "") -> AsyncIterator[Servers]:
    """`home`, absolute, exists and is the caller's to remove. Durable like production: fsync on, Temporal in a file.

    A `temporal_address` takes the place of a Temporal server of the run.
    """
    # From the environment, which wins over a `.env`: nothing leaves this machine, and nothing is held back.
    os.environ.update({f"TOCSIN_{pool}_PROVIDERS": "sandbox" for pool in POOLS} | {"TOCSIN_SANDBOX_RATE": "0"})
    data = DataDir.at(home)
    data.make()
    async with Supervisor(data.records) as supervisor:
        database_url = await _start_postgres(supervisor, data)
        address = temporal_address or await _start_temporal(supervisor, data)
        if temporal_address:
            await prepare_temporal(address, "default")
        given = _servers(data, database_url, address)
        await supervisor.start(_api("api", given))
        yield given


@asynccontextmanager
async def second_api(given: Servers, name: str) -> AsyncIterator[Servers]:
    """An API process `name` with an empty database of that name."""
    connection = await asyncpg.connect(given.dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = f"{given.places.database_url.rpartition('/')[0]}/{name}"
    await prepare_database(url)
    places = replace(given.places, database_url=url, api_port=free_port())
    own = {
        "TOCSIN_DATABASE_URL": url,
        "TOCSIN_API_PORT": str(places.api_port),
        "TOCSIN_PUBLIC_URL": places.api_url,
    }
    second = replace(given, places=places, env=given.env | own)
    async with Supervisor(given.records) as supervisor:
        await supervisor.start(_api(name, second))
        yield second


@asynccontextmanager
async def worker(given: Servers, name: str, *command: str, ready: str = WORKER_READY) -> AsyncIterator[None]:
    """A process of its own for as long as the block lasts; `ready` is what its log says when it can be used."""
    log = given.logs / f"{name}.log"
    before = log.read_text().count(ready) if log.exists() else 0

    async def says_so() -> bool:
        return log.read_text().count(ready) > before

    async with Supervisor(given.records) as supervisor:
        await supervisor.start(_child(name, command, given.logs, given.env, says_so))
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


def _servers(data: DataDir, database_url: str, temporal_address: str) -> Servers:
    places = Places(
        database_url=database_url,
        temporal_address=temporal_address,
        temporal_ui_url="",
        api_host="127.0.0.1",
        api_port=free_port(),
    )
    settings = Settings(env="dev", start_rate=0, log_level="info", _env_file=None)
    keys = Keys.of(settings, data)
    env = child_environment(settings, data, places, keys) | {
        "TOCSIN_LOG_LEVEL": "info",
        "TOCSIN_TEMPORAL_NAMESPACE": "default",
        # As the floor's worker: one process, and so one core, unless the run is asked for more.
        "TOCSIN_WORKERS": os.environ.get("TOCSIN_WORKERS", "1"),
    }
    return Servers(places=places, api_key=keys.api_key, env=env, logs=data.logs)


def _api(name: str, given: Servers) -> Child:
    ready = partial(answers_ok, given.places.api_host, given.places.api_port, "/readyz")
    return _child(name, ("-m", "api"), given.logs, given.env, ready)


def _child(name: str, command: tuple[str, ...], logs: Path, env: dict[str, str], ready: Probe) -> Child:
    return Child(
        name=name,
        argv=tethered((sys.executable, *command)),
        log=logs / f"{name}.log",
        env=env,
        cwd=CHECKOUT,
        ready=ready,
        ready_within=STARTED_WITHIN,
        grace=10,
    )
