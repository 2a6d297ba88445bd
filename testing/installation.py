"""Run a whole Tocsin in a thread of this process, with the sandbox on every channel.

It has Postgres, a Temporal that skips time, API, dispatcher, receipts and workers.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from temporalio.client import Client

import worker
from api.server import serve
from bootstrap import Container, open_container, prepare_database
from config import Settings
from dispatch.temporal.connection import connect
from dispatch.temporal.preparation import prepare_temporal
from embedded.ports import free_port
from embedded.temporary_servers import temporary_postgres, temporary_temporal
from supervision.worker_processes import run_on_uvloop
from testing.liveness import watch_task
from testing.polling import eventually
from testing.rows import add_clock
from testing.workflows import DYNAMIC_CONFIG, TrackedWorkflows

NAMESPACE = "default"
SANDBOX_POOL = ["sandbox"]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class LocalInstallation:
    container: Container
    workflows: TrackedWorkflows
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the installation's thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextmanager
def open_installation(home: Path) -> Iterator[LocalInstallation]:
    """Open an installation. The caller creates `home`, absolute, and removes it."""
    ready: Future[tuple[LocalInstallation, asyncio.Event]] = Future()

    async def run_until_stopped() -> None:
        async with _open_installation(home) as installation:
            stop = asyncio.Event()
            ready.set_result((installation, stop))
            await stop.wait()

    with ThreadPoolExecutor(1, "tocsin") as threads:
        ended = threads.submit(run_on_uvloop, run_until_stopped())
        either: list[Future[Any]] = [ready, ended]
        wait(either, return_when=FIRST_COMPLETED)
        if ended.done():
            ended.result()
        installation, stop = ready.result()
        try:
            yield installation
        finally:
            installation.loop.call_soon_threadsafe(stop.set)
            ended.result()


@asynccontextmanager
async def _open_installation(home: Path) -> AsyncIterator[LocalInstallation]:
    for part in ("postgres", "temporal"):
        (home / part).mkdir()
    async with (
        temporary_postgres(home / "postgres") as postgres,
        temporary_temporal(home / "temporal", dynamic_config=DYNAMIC_CONFIG) as temporal,
    ):
        await prepare_database(postgres.url)
        await add_clock(postgres.url)
        await prepare_temporal(temporal.address, NAMESPACE)
        workflows = TrackedWorkflows(await connect(temporal.address, NAMESPACE, lazy=False))
        async with engine(_local_settings(postgres.url, temporal.address), workflows.client) as container:
            yield LocalInstallation(container=container, workflows=workflows, loop=asyncio.get_running_loop())


def _local_settings(database_url: str, temporal_address: str) -> Settings:
    """Return settings that ignore the environment: nothing leaves this machine."""
    return Settings(
        env="dev",
        database_url=database_url,
        temporal_address=temporal_address,
        temporal_namespace=NAMESPACE,
        api_host="127.0.0.1",
        api_port=free_port(),
        public_url="",
        email_providers=SANDBOX_POOL,
        sms_providers=SANDBOX_POOL,
        push_providers=SANDBOX_POOL,
        web_push_providers=SANDBOX_POOL,
        webhook_providers=SANDBOX_POOL,
        chat_providers=SANDBOX_POOL,
        start_rate=0,
        resume_rate=0,
        sandbox_rate=0,
        drain_timeout=1,
        _env_file=None,
    )


@asynccontextmanager
async def engine(settings: Settings, client: Client) -> AsyncIterator[Container]:
    """Run API over HTTP, dispatcher, receipts, sandbox and workers in this process, on prepared servers."""
    async with (
        open_container(settings, client=client, role="worker") as container,
        running_api(container),
        running_worker(container, client),
    ):
        yield container


@asynccontextmanager
async def running_api(container: Container) -> AsyncIterator[None]:
    """Run the API with its background loops."""
    stop = asyncio.Event()
    api = asyncio.create_task(serve(container, stop))
    try:
        await _wait_until_ready(container.settings.base_url, api)
        with watch_task("the API", api):
            yield
    finally:
        stop.set()
        await api


@asynccontextmanager
async def running_worker(container: Container, client: Client, queues: Sequence[str] = ()) -> AsyncIterator[None]:
    """Run a worker of these queues, of every queue if none is named. It drains at the end."""
    stop = asyncio.Event()
    stopping = asyncio.create_task(stop.wait())
    work = asyncio.create_task(
        worker.serve(
            worker.build_workers(container, client, queues),
            stopping,
            [container.dispatcher.run, container.watch_circuits],
        )
    )
    try:
        with watch_task("the worker", work):
            yield
    finally:
        stop.set()
        await work


async def _wait_until_ready(url: str, running_api: asyncio.Task[None]) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:

        async def ready() -> bool:
            if running_api.done():
                running_api.result()
            try:
                return (await http.get(f"{url}/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        await eventually(ready, bool)
