"""Check that each fault fires the right alert and no other, on series recorded during the fault.

`RECORD_TO=deploy/prometheus/tests` writes the recording where the suite reads it.
"""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import httpx2
import pytest

from bootstrap import open_container
from config.sources import PREFIX
from embedded.ports import free_port
from faults.metric_recorder import AFTER, RULES, MetricRecorder, Shows, Values, has
from faults.proxy import Proxy
from metrics.fetch import fetch_page
from testing.installation import running_api
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.code.tree import ROOT
from tests.engine import Engine, engine_servers

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

POOL = 8  # of two processes: four each


class MonitoredStack:
    """Hold two worker processes behind a proxy to Temporal, an API, and their metrics pages."""

    def __init__(
        self, process: Process, metrics_port: int, api_tenant: ApiTenant, temporal: Proxy, stack: AsyncExitStack
    ) -> None:
        self.process = process
        self.api_tenant = api_tenant
        self.temporal = temporal
        self.stack = stack
        self._metrics_port = metrics_port
        self.recorder = MetricRecorder({"tocsin-api": self._api_page, "tocsin-worker": self._worker_page})

    async def _api_page(self) -> str | None:
        async with httpx2.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{self.api_tenant.engine.api_url}/metrics")).text

    async def _worker_page(self) -> str | None:
        return await fetch_page(self._metrics_port, within=8)

    async def until(self, shows: Shows) -> None:
        async with asyncio.timeout(120):
            while not shows(await self.recorder.scrape()):
                pass
        self.recorder.forget()

    async def records(
        self, name: str, fault: Callable[[], Awaitable[object]], shows: Shows, *alerts: str, after: int = AFTER
    ) -> None:
        await self.recorder.run(fault, shows, after)
        folder = self.api_tenant.engine.container.settings.data_dir / "tests"
        folder.mkdir(parents=True)
        shutil.copy(RULES, folder.parent)
        path = folder / f"recorded-{name}.yml"
        self.recorder.write(path, name, list(alerts))
        if kept := os.environ.get("RECORD_TO"):
            shutil.copy(path, ROOT / kept)
        promtool = shutil.which("promtool")
        assert promtool is not None, "promtool is not installed (Debian: prometheus)"
        tested = await asyncio.create_subprocess_exec(promtool, "test", "rules", path, stdout=PIPE, stderr=STDOUT)
        printed, _ = await tested.communicate()
        assert tested.returncode == 0, printed.decode()

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


def is_healthy(values: Values) -> bool:
    sampled = any(name.startswith("tocsin_sample_timestamp_seconds") for name in values)
    both = all(has(values, "tocsin_process_up", "1", f'process="{number}"') for number in (0, 1))
    return sampled and both and has(values, "tocsin_leader", "1")


@pytest.fixture
async def monitored_stack(database_url: str, tmp_path: Path) -> AsyncIterator[MonitoredStack]:
    port = free_port()
    async with AsyncExitStack() as stack:
        settings, client = await stack.enter_async_context(
            engine_servers(database_url, tmp_path, data_dir=tmp_path / "recorded")
        )
        server = int(settings.temporal_address.rpartition(":")[2])
        temporal = await stack.enter_async_context(Proxy(free_port(), server).open())
        container = await stack.enter_async_context(open_container(settings, client=client))
        await stack.enter_async_context(running_api(container))
        api_tenant = await stack.enter_async_context(
            open_api_tenant(Engine(container=container, temporal_address=settings.temporal_address))
        )
        given = {
            "ENV": "dev",
            "DATABASE_URL": settings.database_url,
            "DATABASE_POOL": str(POOL),
            "TEMPORAL_ADDRESS": f"127.0.0.1:{temporal.port}",
            "API_PORT": str(settings.api_port),
            "DRAIN_TIMEOUT": "1",
            "WORKERS": "2",
            "METRICS_PORT": str(port),
            "EMAIL_PROVIDERS": "smtp",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(free_port()),  # nothing listens there
            "SMTP_TLS": "none",
            "SMTP_FROM": "shop@example.com",
        }
        environment = {**os.environ, **{f"{PREFIX}{name}": value for name, value in given.items()}}
        out = stack.enter_context((tmp_path / "worker.log").open("wb"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "worker.py", cwd=ROOT, stdout=out, env=environment
        )
        monitored_stack = MonitoredStack(process, port, api_tenant, temporal, stack)
        try:
            await monitored_stack.until(is_healthy)
            yield monitored_stack
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def test_a_frozen_process(monitored_stack: MonitoredStack) -> None:
    """Record for less than 20 s, after which the supervisor replaces the process. A scrape of it takes 2 s."""
    values = await monitored_stack.recorder.scrape()
    [number] = [each for each in (0, 1) if has(values, "tocsin_leader", "0", f'process="{each}"')]
    frozen = sorted(monitored_stack.pids())[number]  # in the order of their start

    async def freeze() -> None:
        os.kill(frozen, signal.SIGSTOP)

    def shows(values: Values) -> bool:
        return has(values, "tocsin_process_up", "0")

    try:
        await monitored_stack.records("frozen-process", freeze, shows, "TocsinWorkerProcessDown", after=6)
    finally:
        os.kill(frozen, signal.SIGCONT)


async def test_a_killed_provider(monitored_stack: MonitoredStack) -> None:
    """Stop the provider's server for less than the sample interval, after which the circuit may be probing it again."""
    await monitored_stack.api_tenant.put_type("news", ["email"])
    for number in range(12):
        await monitored_stack.api_tenant.put_recipient(f"ada{number}", email=f"ada{number}@example.com")

    async def kill() -> None:
        for number in range(12):
            await monitored_stack.api_tenant.send("news", f"ada{number}")

    def shows(values: Values) -> bool:
        return has(values, "tocsin_provider_circuit_state", "1", 'state="open"')

    await monitored_stack.records("killed-provider", kill, shows, "TocsinProviderCircuitOpen", after=6)


async def test_stopped_workers(monitored_stack: MonitoredStack) -> None:
    async def stop() -> None:
        monitored_stack.process.terminate()
        await monitored_stack.process.wait()

    def shows(values: Values) -> bool:
        return has(values, "up", "0", "tocsin-worker")

    alerts = ("TocsinWorkersDown", "TocsinNoLeader", "TocsinStateUnknown")
    await monitored_stack.records("stopped-workers", stop, shows, *alerts)


async def test_a_full_pool(monitored_stack: MonitoredStack) -> None:
    """Lock the queue by an unfinished migration: every loop waits for it with a connection."""
    url = monitored_stack.api_tenant.engine.container.settings.database_url.replace("+asyncpg", "")
    connection = await asyncpg.connect(url)

    async def fill() -> None:
        await connection.execute("BEGIN; LOCK TABLE queue_entry IN ACCESS EXCLUSIVE MODE")

    def shows(values: Values) -> bool:
        waiting = {each: now for each, now in values.items() if each.startswith("tocsin_database_connections_waiting")}
        return any(float(now) > 0 and "tocsin-worker" in each for each, now in waiting.items())

    try:
        await monitored_stack.records("full-pool", fill, shows, "TocsinDatabasePoolExhausted")
    finally:
        await connection.close()


async def test_a_lost_temporal(monitored_stack: MonitoredStack) -> None:
    async def lose() -> None:
        monitored_stack.stack.enter_context(monitored_stack.temporal.cut())

    def shows(values: Values) -> bool:
        failures = {each: now for each, now in values.items() if each.startswith("tocsin_background_failures_total")}
        return any(float(now) > 1 and 'cause="temporal"' in each for each, now in failures.items())

    await monitored_stack.records("lost-temporal", lose, shows, "TocsinTemporalUnavailable")
