"""The servers of one run: Postgres, Temporal, API and workers as in `make run`, on free ports, for a while."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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


@asynccontextmanager
async def servers(home: Path) -> AsyncIterator[Servers]:
    """`home`, absolute, exists and is the caller's to remove. Durable like production: fsync on, Temporal in a file."""
    # From the environment, which wins over a `.env`: nothing leaves this machine, and nothing is held back.
    os.environ.update({f"TOCSIN_{pool}_PROVIDERS": "sandbox" for pool in POOLS} | {"TOCSIN_SANDBOX_RATE": "0"})
    data = DataDir.at(home)
    data.make()
    cluster = Cluster(data.root)
    await asyncio.to_thread(cluster.prepare)
    postgres = Postgres(cluster=cluster, port=free_port(), log=data.logs / "postgres.log")
    temporal = Temporal(port=free_port(), log=data.logs / "temporal.log", file=data.root / "temporal.db")
    async with Supervisor(data.records) as supervisor:
        await supervisor.start(postgres.child())
        await prepare_database(postgres.url)
        await supervisor.start(temporal.child(partial(prepare_temporal, temporal.address, temporal.namespace)))
        places = Places(
            database_url=postgres.url,
            temporal_address=temporal.address,
            temporal_ui_url="",
            api_host="127.0.0.1",
            api_port=free_port(),
        )
        settings = Settings(env="dev", start_rate=0, log_level="info", _env_file=None)
        keys = Keys.of(settings, data)
        env = child_environment(settings, data, places, keys) | {"TOCSIN_LOG_LEVEL": "info"}
        up = partial(answers_ok, places.api_host, places.api_port, "/readyz")
        await supervisor.start(_child("api", ("-m", "api"), data.logs, env, up))
        yield Servers(places=places, api_key=keys.api_key, env=env, logs=data.logs)


@asynccontextmanager
async def worker(given: Servers, name: str, *command: str, ready: str = WORKER_READY) -> AsyncIterator[None]:
    """A worker process for as long as the block lasts; `ready` is what its log says when it polls."""
    log = given.logs / f"{name}.log"
    before = log.read_text().count(ready) if log.exists() else 0

    async def says_so() -> bool:
        return log.read_text().count(ready) > before

    records = given.logs.parent / "run"
    async with Supervisor(records) as supervisor:
        await supervisor.start(_child(name, command, given.logs, given.env, says_so))
        yield


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
