"""The servers of a fault run: Postgres, Temporal, one API, two workers and the fake vendors, on free ports."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bootstrap import prepare_database, prepare_temporal
from embedded.cluster import Cluster
from embedded.datadir import DataDir
from embedded.postgres import Postgres
from embedded.processes import Child, tethered
from embedded.readiness import Probe, accepts, answers_ok
from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from embedded.temporal import Temporal
from tests.faults.part import Part
from tests.faults.proxy import Proxy
from tests.faults.surroundings import DRAIN, HOST, WIRES, Ports, api_key, environment
from tests.faults.vendor.__main__ import Plan
from tests.faults.vendor.desk import Desk
from tests.faults.vendor.ledger import Copy
from tests.providers.harness_sendgrid import OURS

STARTED_WITHIN = 60.0
OTHER_STARTED_WITHIN = 180.0  # the first time it makes its schema
OTHER_TEMPORAL = "temporal"
ORDER = ("postgres", "temporal", "vendor", "worker-1", "worker-2", "api")
IMPATIENT_WORKER = ("-m", "tests.faults.worker")
REAL_WORKER = (str(CHECKOUT / "worker.py"),)


@dataclass(frozen=True, kw_only=True)
class Servers:
    """`parts` by the names of ORDER; `wires` by those of WIRES. `program` is what a worker runs."""

    home: Path
    cluster: Cluster
    info: RunInfo
    parts: dict[str, Part]
    desk: Desk
    wires: dict[str, Proxy]
    program: tuple[str, ...]

    @property
    def workers(self) -> list[Part]:
        return [self.parts["worker-1"], self.parts["worker-2"]]

    @property
    def deaths(self) -> list[str]:
        """Those that nobody asked for."""
        return [death for part in self.parts.values() for death in part.deaths]

    async def revive(self) -> None:
        """Starts what a fault that went wrong has left dead."""
        for name in ORDER:
            if not self.parts[name].running:
                await self.parts[name].start()

    async def exchange_workers(self, *change: str) -> None:
        """For the same program, or for one that is changed; both at once."""
        program = self.program_with(*change)
        await asyncio.gather(*(worker.become(*program) for worker in self.workers))

    def delete_temporal_store(self) -> None:
        """While it does not run."""
        for file in self.home.glob("temporal.db*"):
            file.unlink()
        shutil.rmtree(self.home / OTHER_TEMPORAL, ignore_errors=True)

    def program_with(self, *change: str) -> list[str]:
        """The command line of a worker."""
        return tethered((sys.executable, *((*IMPATIENT_WORKER, *change) if change else self.program)))


@asynccontextmanager
async def serving(
    home: Path,
    program: tuple[str, ...] = IMPATIENT_WORKER,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    temporal: Path | None = None,
) -> AsyncIterator[Servers]:
    """`home`, absolute, exists and is the caller's to remove. Durable like production. `settings` by part. `temporal`
    is a program that becomes a Temporal server, called with its port and a directory for its state."""
    async with AsyncExitStack() as stack:
        data, ports = DataDir.at(home), Ports.free()
        data.make()
        cluster = Cluster(data.root)
        await asyncio.to_thread(cluster.prepare)
        servers = _planned(data, ports, cluster, program, temporal)
        for name, own in (settings or {}).items():
            servers.parts[name].set(own)
        for wire in servers.wires.values():
            await stack.enter_async_context(wire.open())
        for name in ORDER:
            stack.push_async_callback(servers.parts[name].stop)
            await servers.parts[name].start()
            if name == "postgres":
                await prepare_database(servers.info.database_url)
        yield servers


def _planned(
    data: DataDir, ports: Ports, cluster: Cluster, program: tuple[str, ...], other_temporal: Path | None
) -> Servers:
    postgres = Postgres(cluster=cluster, port=ports.postgres, log=data.logs / "postgres.log")
    temporal = Temporal(port=ports.temporal, log=data.logs / "temporal.log", file=data.root / "temporal.db")
    prepared = partial(prepare_temporal, temporal.address, temporal.namespace, postgres.url)
    api_env, worker_env = (
        environment(data, ports, postgres.url.replace(f":{ports.postgres}/", f":{ports.wires[wire]}/"))
        for wire in WIRES[:2]
    )
    parts = [
        Part(postgres.child(), lambda: postgres.is_ready),
        Part(_temporal(temporal.child(prepared), other_temporal, data, ports), lambda: temporal.is_ready),
        Part(_child("vendor", vendors(data, ports), data, api_env), lambda: _listens(ports.vendors["control"])),
        Part(_child("api", ("-m", "api"), data, api_env), lambda: partial(answers_ok, HOST, ports.api, "/readyz")),
        *(_worker(name, program, data, worker_env) for name in ("worker-1", "worker-2")),
    ]
    servers_behind = (ports.postgres, ports.postgres, ports.temporal)
    return Servers(
        home=data.root,
        cluster=cluster,
        info=RunInfo(
            api_url=ports.api_url,
            temporal_address=temporal.address,
            temporal_ui_url="",
            database_url=postgres.url,
            api_key=api_key(data),
            pids={},
        ),
        parts={part.name: part for part in parts},
        desk=Desk(ports.vendors["control"], Copy(data.root / "vendor.jsonl")),
        wires={name: Proxy(ports.wires[name], port) for name, port in zip(WIRES, servers_behind, strict=True)},
        program=program,
    )


def _temporal(usual: Child, program: Path | None, data: DataDir, ports: Ports) -> Child:
    if program is None:
        return usual
    argv = tethered((str(program), str(ports.temporal), str(data.root / OTHER_TEMPORAL)))
    return replace(usual, argv=argv, cwd=CHECKOUT, env=None, ready_within=OTHER_STARTED_WITHIN)


def vendors(data: DataDir, ports: Ports) -> tuple[str, ...]:
    """The command line of the fake vendors."""
    plan = Plan(
        ports=ports.vendors,
        ledger=str(data.root / "vendor.jsonl"),
        key=OURS.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        callback=f"{ports.api_url}/api/v1/receipts/sendgrid",
    )
    path = data.root / "vendor.json"
    plan.write(path)
    return ("-m", "tests.faults.vendor", str(path))


def _listens(port: int) -> Probe:
    return partial(accepts, HOST, port)


def _worker(name: str, program: tuple[str, ...], data: DataDir, env: dict[str, str]) -> Part:
    child = _child(name, program, data, env)
    return Part(child, _says(child.log))


def _child(name: str, command: tuple[str, ...], data: DataDir, env: dict[str, str]) -> Child:
    """Not in the checkout: no `.env` there has a say."""
    return Child(
        name=name,
        argv=tethered((sys.executable, *command)),
        log=data.logs / f"{name}.log",
        env=env,
        cwd=data.root,
        ready_within=STARTED_WITHIN,
        grace=DRAIN + 4,
    )


def _says(log: Path, word: str = '"worker ready"') -> Callable[[], Probe]:
    """Once more than before the start."""

    def count() -> int:
        return log.read_text().count(word) if log.exists() else 0

    def probe() -> Probe:
        before = count()

        async def more() -> bool:
            return count() > before

        return more

    return probe
