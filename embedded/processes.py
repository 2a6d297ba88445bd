"""Start one child process in a session of its own, and stop it."""

import asyncio
import functools
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from embedded.orphan_processes import kill_group
from embedded.readiness import Probe, always_ready

Hook = Callable[[], Awaitable[None]]

MAX_LOG_BYTES = 20 * 1024 * 1024
TAIL_LINES = 12


async def do_nothing_after_start() -> None:
    """Provide the hook of a process that needs none."""


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """Describe a process. Durations are in seconds.

    `ready` is called until it returns True. `after_start` runs after each start, including restarts. `grace` is the
    most time between its stop signal and SIGKILL, `min_grace` the least. Processes of one `stage` are stopped together.
    `liveness` is the file that the process renews while it works; it is killed when it stops.
    """

    name: str
    stage: str = ""
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    ready: Probe = always_ready
    ready_timeout: float = 30
    after_start: Hook = do_nothing_after_start
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 5
    min_grace: float = 0.5
    liveness: Path | None = None


def with_parent_death_signal(argv: Sequence[str], death_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return the command that also gets `death_signal` when its parent dies, where the machine has `setpriv`.

    setpriv only marks the process and becomes the command: same pid. Without it, the next start cleans up.
    """
    if not _has_setpriv():
        return list(argv)
    return ["setpriv", "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *argv]


@functools.cache
def _has_setpriv() -> bool:
    if sys.platform != "linux" or not shutil.which("setpriv"):
        return False
    # busybox's setpriv has no such option.
    probe = subprocess.run(["setpriv", "--pdeathsig", "TERM", "--", "true"], capture_output=True, check=False)
    return probe.returncode == 0


def with_private_umask(argv: Sequence[str]) -> list[str]:
    """Return the command whose files are private: they hold customers' rows.

    The shell becomes the command: same pid. uvloop does not support asyncio's argument `umask`.
    """
    return ["/bin/sh", "-c", 'umask 077 && exec "$@"', "sh", *argv]


async def spawn_child(child: ProcessSpec) -> asyncio.subprocess.Process:
    """Start the child in a session of its own, away from the terminal's Ctrl-C. Raises OSError."""
    _rotate_log(child.log)
    with child.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *with_private_umask(child.argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=child.env,
            cwd=child.cwd,
            start_new_session=True,
        )


async def stop_child(process: asyncio.subprocess.Process, stop_signal: signal.Signals, grace: float) -> None:
    """Send the stop signal, kill after `grace` seconds, and kill the child's own processes with it."""
    with suppress(ProcessLookupError):
        process.send_signal(stop_signal)
    with suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await process.wait()
    kill_group(process.pid)
    await process.wait()


def describe_exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def log_tail(log: Path) -> str:
    """Return the last lines of a log, for an error message."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    return ""


def _rotate_log(log: Path) -> None:
    """Keep one old log: more would fill the disk of a stack that runs for months."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
