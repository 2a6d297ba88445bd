"""Run the servers of a fault run: Postgres, Temporal, one API, two workers and the fake vendors, on free ports."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bootstrap import prepare_database
from dispatch.temporal.preparation import prepare_temporal
from embedded.cluster import Cluster
from embedded.datadir import DataDir
from embedded.postgres import Postgres
from embedded.processes import ProcessSpec, with_parent_death_signal
from embedded.readiness import Probe, accepts_connections, responds_ok
from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from embedded.temporal import Temporal
from faults.environment import DRAIN, HOST, PROXY_NAMES, Ports, api_key, environment, secret_key
from faults.proxy import Proxy
from faults.stack_process import StackProcess
from faults.vendor.control import VendorControl
from faults.vendor.keys import CERTIFICATE, vendor_keys, write_certificates
from faults.vendor.plan import VendorPlan
from faults.vendor.vendor_log import VendorLogReader

START_TIMEOUT = 60.0
OTHER_START_TIMEOUT = 180.0  # the first start creates its schema
OTHER_TEMPORAL = "temporal"
START_ORDER = ("postgres", "temporal", "vendor", "worker-1", "worker-2", "api")
SHORT_TIMEOUT_WORKER = ("-m", "faults.worker")
REAL_WORKER = (str(CHECKOUT / "worker.py"),)
# It does not trust the certificate of the fake APNs.
REAL_WORKER_SETTINGS = {"PUSH_PROVIDERS": "fcm"}


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Hold `processes` by the names of START_ORDER and `proxies` by those of PROXY_NAMES. `program` is the command of a
    worker.
    """

    home: Path
    cluster: Cluster
    info: RunInfo
    processes: dict[str, StackProcess]
    vendor_ports: Mapping[str, int]
    vendor_control: VendorControl
    proxies: dict[str, Proxy]
    program: tuple[str, ...]

    @property
    def workers(self) -> list[StackProcess]:
        return [self.processes["worker-1"], self.processes["worker-2"]]

    @property
    def deaths(self) -> list[str]:
        """Return the unexpected exits."""
        return [death for part in self.processes.values() for death in part.deaths]

    async def restart_dead_processes(self) -> None:
        """Start the processes that a failed fault has left dead."""
        for name in START_ORDER:
            if not self.processes[name].running:
                await self.processes[name].start()

    async def restart_workers(self, *change: str) -> None:
        """Restart both workers at once, with the same program or another one."""
        program = self.program_with(*change)
        await asyncio.gather(*(worker.restart_as(*program) for worker in self.workers))

    def delete_temporal_store(self) -> None:
        """Delete the store. Temporal must not run."""
        for file in self.home.glob("temporal.db*"):
            file.unlink()
        shutil.rmtree(self.home / OTHER_TEMPORAL, ignore_errors=True)

    def program_with(self, *change: str) -> list[str]:
        """Return the command line of a worker."""
        return with_parent_death_signal(
            (sys.executable, *((*SHORT_TIMEOUT_WORKER, *change) if change else self.program))
        )


@asynccontextmanager
async def running_servers(
    home: Path,
    program: tuple[str, ...] = SHORT_TIMEOUT_WORKER,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    temporal: Path | None = None,
    *,
    with_proxies: bool = True,
) -> AsyncIterator[Servers]:
    """Start the servers. The caller creates `home`, absolute, and removes it. They are durable as in production.

    `settings` are by part. `temporal` is a program that becomes a Temporal server, called with its port and a
    directory. Measurements of latency need `with_proxies=False`: the proxies run in this process, and delay each
    message between busy servers.
    """
    async with AsyncExitStack() as stack:
        data, ports = DataDir.at(home), Ports.free()
        ports = ports if with_proxies else replace(ports, proxies=ports.behind_proxies)
        data.make()
        cluster = Cluster(data.root)
        await asyncio.to_thread(cluster.prepare)
        servers = _plan_servers(data, ports, cluster, program, temporal)
        if program == REAL_WORKER:
            for worker in servers.workers:
                worker.set(REAL_WORKER_SETTINGS)
        for name, own in (settings or {}).items():
            servers.processes[name].set(own)
        for proxy in servers.proxies.values() if with_proxies else ():
            await stack.enter_async_context(proxy.open())
        for name in START_ORDER:
            stack.push_async_callback(servers.processes[name].stop)
            await servers.processes[name].start()
            if name == "postgres":
                await prepare_database(servers.info.database_url)
        yield servers


def _plan_servers(
    data: DataDir, ports: Ports, cluster: Cluster, program: tuple[str, ...], other_temporal: Path | None
) -> Servers:
    postgres = Postgres(cluster=cluster, port=ports.postgres, log=data.logs / "postgres.log")
    temporal = Temporal(port=ports.temporal, log=data.logs / "temporal.log", file=data.root / "temporal.db")
    prepared = partial(prepare_temporal, temporal.address, temporal.namespace, postgres.url)
    api_env, worker_env = (
        environment(data, ports, postgres.url.replace(f":{ports.postgres}/", f":{ports.proxies[proxy]}/"))
        for proxy in PROXY_NAMES[:2]
    )
    processes = [
        StackProcess(postgres.child(), lambda: postgres.is_ready),
        StackProcess(_temporal(temporal.child(prepared), other_temporal, data, ports), lambda: temporal.is_ready),
        StackProcess(
            _child("vendor", vendors(data, ports), data, api_env), lambda: _listening_probe(ports.vendors["control"])
        ),
        StackProcess(
            _child("api", ("-m", "api"), data, api_env), lambda: partial(responds_ok, HOST, ports.api, "/readyz")
        ),
        *(_worker(name, program, data, worker_env) for name in ("worker-1", "worker-2")),
    ]
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
        processes={part.name: part for part in processes},
        vendor_ports=ports.vendors,
        vendor_control=VendorControl(ports.vendors["control"], VendorLogReader(data.root / "vendor.jsonl")),
        proxies={name: Proxy(ports.proxies[name], port) for name, port in ports.behind_proxies.items()},
        program=program,
    )


def _temporal(usual: ProcessSpec, program: Path | None, data: DataDir, ports: Ports) -> ProcessSpec:
    if program is None:
        return usual
    argv = with_parent_death_signal((str(program), str(ports.temporal), str(data.root / OTHER_TEMPORAL)))
    return replace(usual, argv=argv, cwd=CHECKOUT, env=None, ready_timeout=OTHER_START_TIMEOUT)


def vendors(data: DataDir, ports: Ports) -> tuple[str, ...]:
    """Return the command line of the fake vendors."""
    plan = VendorPlan(
        ports=ports.vendors,
        ledger=str(data.root / "vendor.jsonl"),
        keys=vendor_keys().texts,
        certificate=str(data.root / CERTIFICATE),
        secret=secret_key(data),
        callback=f"{ports.api_url}/api/v1/receipts/sendgrid",
    )
    write_certificates(data.root)
    path = data.root / "vendor.json"
    plan.write(path)
    return ("-m", "faults.vendor", str(path))


def _listening_probe(port: int) -> Probe:
    return partial(accepts_connections, HOST, port)


def _worker(name: str, program: tuple[str, ...], data: DataDir, env: dict[str, str]) -> StackProcess:
    child = _child(name, program, data, env)
    return StackProcess(child, _log_probe(child.log))


def _child(name: str, command: tuple[str, ...], data: DataDir, env: dict[str, str]) -> ProcessSpec:
    """Describe a process that runs outside the checkout, where no `.env` applies."""
    return ProcessSpec(
        name=name,
        argv=with_parent_death_signal((sys.executable, *command)),
        log=data.logs / f"{name}.log",
        env=env,
        cwd=data.root,
        ready_timeout=START_TIMEOUT,
        grace=DRAIN + 4,
    )


def _log_probe(log: Path, word: str = '"worker ready"') -> Callable[[], Probe]:
    """Return a probe for one more occurrence of the word than before the start."""

    def count() -> int:
        return log.read_text().count(word) if log.exists() else 0

    def probe() -> Probe:
        before = count()

        async def more() -> bool:
            return count() > before

        return more

    return probe
