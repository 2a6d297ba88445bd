"""Profile worker and API with py-spy, in a separate pass: sampling slows down the measured processes."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.cpu import pid_of
from benchmarks.servers import BenchmarkServers

SAMPLES_PER_SECOND = 100
# Seconds. An upper bound; the profile ends with the profiled work.
MAX_SECONDS = 120


class ProfilerNotFound(Exception):
    """Signal that py-spy is not installed."""


def prepare_profiles(directory: Path) -> None:
    """Check for py-spy before a run, which takes minutes. Raises ProfilerNotFound."""
    _find_profiler()
    directory.mkdir(parents=True, exist_ok=True)


def _find_profiler() -> str:
    program = shutil.which("py-spy")
    if program is None:
        raise ProfilerNotFound("py-spy is not installed: run `pip install py-spy` and put it on the PATH")
    return program


@asynccontextmanager
async def record_profiles(
    servers: BenchmarkServers, directory: Path | None, names: Sequence[str], label: str
) -> AsyncIterator[None]:
    """Write `<label>-<name>.json` (speedscope) for each process while the block runs. Without a directory, write
    nothing.
    """
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
            process.send_signal(signal.SIGINT)  # it then writes its samples
        await process.wait()
