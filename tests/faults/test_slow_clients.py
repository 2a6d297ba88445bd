"""Run 1,000 clients that send slowly, too much or without a signature, and one client that sends as usual."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bootstrap import prepare_database
from embedded.temporary_servers import temporary_postgres
from faults.api_process import running_api
from faults.slow_clients import CLIENTS
from faults.stack_client import StackClient, open_stack_client
from tests.code.tree import ROOT
from tests.metrics.names import value
from tests.polling import DEFAULT_TIMEOUT, eventually

pytestmark = [pytest.mark.postgres, pytest.mark.long]

REQUESTS = 50
# Milliseconds that differ by the machine alone, and mebibytes that an allocator keeps.
NOISE_MS, NOISE_MIB = 10.0, 24.0


@asynccontextmanager
async def slow_clients(port: int) -> AsyncIterator[None]:
    command = (sys.executable, "-m", "faults.slow_clients", str(port))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def milliseconds(stack_client: StackClient, name: str) -> tuple[float, float]:
    """Return the medians of `/healthz` and of a send."""
    health, sends = [], []
    for number in range(REQUESTS):
        started = time.perf_counter()
        assert (await stack_client.http.get(f"{stack_client.url}/healthz")).status_code == 200
        between = time.perf_counter()
        await stack_client.send_accepted(f"{name}-{number}")
        health.append(between - started)
        sends.append(time.perf_counter() - between)
    return statistics.median(health) * 1000, statistics.median(sends) * 1000


def resident_mib(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def open_connections(stack_client: StackClient) -> float:
    page = (await stack_client.http.get(f"{stack_client.url}/metrics")).text
    return value(page, "tocsin_api_connections_open")


async def test_a_thousand_slow_clients_do_not_slow_down_others(tmp_path: Path) -> None:
    async with temporary_postgres(tmp_path) as postgres:
        await prepare_database(postgres.url)
        async with (
            running_api(postgres.url, tmp_path / "api.log", API_CONNECTIONS="1000") as (process, info),
            open_stack_client(info) as stack_client,
        ):
            await stack_client.wait_until_ready(within=DEFAULT_TIMEOUT)
            await stack_client.type()
            await milliseconds(stack_client, "warm")
            port, idle = int(info.api_url.rpartition(":")[2]), await milliseconds(stack_client, "idle")
            before = resident_mib(process.pid)
            async with slow_clients(port):
                await eventually(lambda: open_connections(stack_client), lambda number: number > CLIENTS * 0.9)
                busy = await milliseconds(stack_client, "busy")
                during = resident_mib(process.pid)
            await eventually(lambda: open_connections(stack_client), lambda number: number < 10)

            async def memory() -> float:
                return resident_mib(process.pid)

            print(f"ms idle {idle}, busy {busy}; MiB {before:.0f}, {during:.0f}, {await memory():.0f}")
            assert all(after < max(3 * first, first + NOISE_MS) for first, after in zip(idle, busy, strict=True))
            await eventually(memory, lambda now: now < before + NOISE_MIB)
        assert process.returncode == 0
