"""Run the whole stack of `make run`: Postgres, Temporal, worker and API on one machine, supervised until a signal."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from config import Settings
from embedded.cluster import Cluster, find_binaries
from embedded.datadir import DataDir
from embedded.environment import (
    METRICS_PORT,
    StackAddresses,
    StackSecrets,
    child_environment,
    metrics_settings,
    worker_environment,
)
from embedded.errors import StackError
from embedded.orphan_processes import stop_orphan_processes
from embedded.ports import LOOPBACK, claim_ports, free_port
from embedded.postgres import Postgres, max_connections, stop_orphan_postgres
from embedded.processes import ProcessSpec
from embedded.readiness import responds_ok
from embedded.runfile import RunInfo
from embedded.server_processes import server_process, stop_order
from embedded.supervisor import Supervisor, print_line
from embedded.temporal import Temporal, find_binary
from embedded.ui_guard import random_loopback_address, serve_guarded_ui
from supervision.worker_shares import worker_count

CHECKOUT = Path(__file__).resolve().parent.parent
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
API_READY_TIMEOUT = 60.0
API_PORT = "TOCSIN_API_PORT"
POSTGRES_PORT = "TOCSIN_POSTGRES_PORT"
TEMPORAL_PORT = "TOCSIN_TEMPORAL_PORT"
TEMPORAL_UI_PORT = "TOCSIN_TEMPORAL_UI_PORT"

Migrate = Callable[[str], Awaitable[None]]
AfterTemporalStart = Callable[[str, str | None], Awaitable[None]]
Greet = Callable[[RunInfo], Awaitable[None]]


class Stack:
    """Run the stack. `worker` and `api` are command lines.

    `migrate(database_url)` and `after_temporal_start(address, database_url)` prepare the servers, the latter after each
    start of Temporal. It gets a database if both servers are this stack's own: then no other store has the workflows of
    that database, and a new one needs no confirmation. `greet(info)` prints when everything is ready.

    `async with Stack(...) as stack` starts and stops it. `await stack.run()` also waits for a signal in between. Every
    method raises StackError with a text for the terminal.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        migrate: Migrate,
        after_temporal_start: AfterTemporalStart,
        greet: Greet,
        worker: tuple[str, ...] = (sys.executable, "worker.py"),
        api: tuple[str, ...] = (sys.executable, "-m", "api"),
    ) -> None:
        self._settings = settings
        self._migrate = migrate
        self._after_temporal_start = after_temporal_start
        self._greet = greet
        self._commands = {"worker": worker, "api": api}
        self._data_dir = DataDir.at(settings.data_dir)
        self._supervisor = Supervisor(self._data_dir.records, on_change=self._write_run_file)
        self._exit = AsyncExitStack()
        self.info: RunInfo | None = None

    async def run(self) -> None:
        """Start, serve until SIGINT, SIGTERM or SIGHUP, and stop. Further signals have no effect."""
        loop = asyncio.get_running_loop()
        stop_requested = asyncio.Event()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop_requested.set)
        starting = asyncio.create_task(self.start())
        waiting = asyncio.create_task(stop_requested.wait())
        try:
            await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await waiting
            print_line("stopping")
        finally:
            await _cancel_tasks(starting, waiting)
            await self.stop()
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stop_on_failure:
            stop_on_failure.push_async_callback(self.stop)
            await self.start()
            stop_on_failure.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the stack. Return when the API responds, run.json is written and the greeting is printed."""
        try:
            await self._start()
        except PermissionError as error:
            raise StackError(f"{error.filename} belongs to another user; is TOCSIN_DATA_DIR yours?") from error

    async def stop(self) -> None:
        """Stop API, worker, Temporal and Postgres, within 15 s. Idempotent."""
        self.info = None
        await self._exit.aclose()

    async def _start(self) -> None:
        await self._lock_data_dir()
        ports = self._claim_ports()
        database_url = self._settings.database_url or await self._start_postgres(ports[POSTGRES_PORT])
        await self._migrate(database_url)
        address, ui_url = await self._start_temporal(ports, database_url)
        addresses = StackAddresses(
            database_url=database_url,
            temporal_address=address,
            temporal_ui_url=ui_url,
            api_host=self._settings.api_host,
            api_port=ports[API_PORT],
            metrics_host=self._settings.metrics_host,
            metrics_ports=tuple(port for name, port in ports.items() if name.startswith(METRICS_PORT)),
        )
        await self._start_servers(addresses)

    async def _lock_data_dir(self) -> None:
        """Lock the directory and stop the processes of a killed run before ports are checked: they occupy ports."""
        data_dir = self._data_dir
        data_dir.make()
        self._exit.enter_context(data_dir.hold_lock())
        self._exit.callback(data_dir.run_file.unlink, missing_ok=True)
        data_dir.run_file.unlink(missing_ok=True)
        orphans = await stop_orphan_processes(
            data_dir.records, stop_order(path.stem for path in data_dir.records.glob("*.pid"))
        )
        if await stop_orphan_postgres(Cluster(data_dir.root).data):
            orphans.append("postgres")
        if orphans:
            print_line(f"stopped processes of an earlier run: {', '.join(orphans)}")
        self._exit.push_async_callback(self._supervisor.stop)

    def _claim_ports(self) -> dict[str, int]:
        settings = self._settings
        requested = {API_PORT: settings.api_port, **(metrics := metrics_settings(settings, worker_count(settings)))}
        if not settings.database_url:
            find_binaries()
            requested[POSTGRES_PORT] = settings.postgres_port
        if not settings.temporal_address:
            find_binary()
            requested |= {TEMPORAL_PORT: settings.temporal_port, TEMPORAL_UI_PORT: settings.temporal_ui_port}
        return claim_ports(requested, {API_PORT: settings.api_host, **dict.fromkeys(metrics, settings.metrics_host)})

    async def _start_postgres(self, port: int) -> str:
        cluster = Cluster(self._data_dir.root)
        await asyncio.to_thread(cluster.prepare)
        postgres = Postgres(
            cluster=cluster,
            port=port,
            log=self._data_dir.logs / "postgres.log",
            max_connections=max_connections(self._settings),
        )
        await self._supervisor.start(postgres.child())
        return postgres.url

    async def _start_temporal(self, ports: dict[str, int], database_url: str) -> tuple[str, str]:
        """Return the address and UI URL of the server that was started or configured."""
        settings = self._settings
        if settings.temporal_address:
            await self._after_temporal_start(settings.temporal_address, None)
            return settings.temporal_address, settings.temporal_ui_url
        ui_host = random_loopback_address()
        ui_port = free_port(ui_host, avoid=ports.values())
        temporal = Temporal(
            port=ports[TEMPORAL_PORT],
            ui_host=ui_host,
            ui_port=ui_port,
            log=self._data_dir.logs / "temporal.log",
            file=self._data_dir.root / "temporal.db",
            namespace=settings.temporal_namespace,
        )
        own_database = None if settings.database_url else database_url
        prepare = partial(self._after_temporal_start, temporal.address, own_database)
        await self._supervisor.start(temporal.child(prepare))
        await self._exit.enter_async_context(serve_guarded_ui(ports[TEMPORAL_UI_PORT], ui_host, ui_port))
        return temporal.address, f"http://{LOOPBACK}:{ports[TEMPORAL_UI_PORT]}"

    async def _start_servers(self, addresses: StackAddresses) -> None:
        keys = StackSecrets.of(self._settings, self._data_dir)
        env = child_environment(self._settings, self._data_dir, addresses, keys)
        is_ready = partial(responds_ok, addresses.reachable_host, addresses.api_port, "/readyz")
        for number, port in enumerate(addresses.metrics_ports):
            worker_env = env | worker_environment(self._settings, len(addresses.metrics_ports), port)
            await self._supervisor.start(self._server("worker", worker_env, 10, 3, number))
        api = self._server("api", env, 3, 1)
        await self._supervisor.start(replace(api, ready=is_ready, ready_timeout=API_READY_TIMEOUT))
        self.info = RunInfo(
            api_url=addresses.api_url,
            temporal_address=addresses.temporal_address,
            temporal_ui_url=addresses.temporal_ui_url,
            database_url=addresses.database_url,
            api_key=keys.api_key,
            pids={},
            worker_metrics_urls=addresses.worker_metrics_urls,
        )
        self._write_run_file()
        await self._greet(self.info)

    def _server(
        self, component: str, env: dict[str, str], grace: float, min_grace: float, number: int = 0
    ) -> ProcessSpec:
        argv = self._commands[component]
        spec = server_process(self._data_dir, component, number, argv, env)
        return replace(spec, cwd=CHECKOUT, grace=grace, min_grace=min_grace)

    def _write_run_file(self) -> None:
        """Write run.json with the current pids, once all parts have started."""
        if self.info is None:
            return
        pids = self._supervisor.pids
        self.info = replace(self.info, pids={name: pids.get(name) for name in stop_order(pids)})
        self.info.write(self._data_dir.run_file)


async def _cancel_tasks(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
