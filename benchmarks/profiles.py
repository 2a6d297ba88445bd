"""Profiles of worker and API by py-spy, taken in a pass of their own: sampling slows down what is measured."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.cpu import pid_of
from benchmarks.servers import BenchmarkServers

SAMPLES_PER_SECOND = 100
# Seconds. A bound; the profile ends with the work that is profiled.
MAX_SECONDS = 120


class ProfilerNotFound(Exception):
    """py-spy is not installed."""


def prepare_profiles(directory: Path) -> None:
    """Before a run, which takes minutes. Raises NoProfiler."""
    _find_profiler()
    directory.mkdir(parents=True, exist_ok=True)


def _find_profiler() -> str:
    program = shutil.which("py-spy")
    if program is None:
        raise ProfilerNotFound("py-spy is not installed; `pip install py-spy`, and put it on the PATH")
    return program


@asynccontextmanager
async def record_profiles(
    servers: BenchmarkServers, directory: Path | None, names: Sequence[str], label: str
) -> AsyncIterator[None]:
    """Write `<label>-<name>.json` (speedscope) for each process while the block runs. Without a directory, nothing."""
    async with AsyncExitStack() as stack:
        if directory is not None:
            for name in names:
                path = directory / f"{label}-{name}.json"
                await stack.enter_async_context(_record_profile(pid_of(servers.records, name), path))
        yield


@asynccontextmanager
async def _record_profile(pid: int, path: Path) -> AsyncIterator[None]:
    arguments = ["record", "--pid", str(pid), "--output", str(path), "--format", "speedscope"]
    limits = ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(MAX_SECONDS), "--nonblocking"]
    process = await asyncio.create_subprocess_exec(
        _find_profiler(), *arguments, *limits, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # writes what it has
        await process.wait()
