"""Run `cli.py dev` in a process and a directory of its own, read its output, and break its parts."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from embedded.process_identity import command_line_of, identity
from embedded.processes import with_parent_death_signal
from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from tests.polling import eventually

COMMAND = (sys.executable, "cli.py", "dev")
PORTS = ("API_PORT", "POSTGRES_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT")
READY_TEXT = "Send one yourself:"
START_TIMEOUT = 240
# 15 s are documented for an idle machine.
STOP_TIMEOUT = 60


class StackRun:
    """Control a run. `root` is its data directory. Signals go only to the process itself and the pids in its
    run.json.
    """

    def __init__(self, process: Process, root: Path, terminal: Path) -> None:
        self.process = process
        self.root = root
        self._terminal = terminal

    @property
    def printed(self) -> str:
        return self._terminal.read_text()

    @property
    def info(self) -> RunInfo:
        return RunInfo.read(self.root / "run.json")

    @property
    def pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.info.pids.items() if pid}

    @property
    def identities(self) -> dict[str, str | None]:
        """Return identities of the parts and their descendants: no later process has the same."""
        family = {f"{name} {pid}": pid for name, top in self.pids.items() for pid in (top, *descendants(top))}
        return {name: f"{pid} {identity(pid)}" for name, pid in family.items()}

    async def wait_until_ready(self) -> None:
        async def look() -> str:
            assert self.process.returncode is None, f"ended early:\n{self.printed}"
            return self.printed

        await eventually(
            look, lambda printed: READY_TEXT in printed and (self.root / "run.json").exists(), START_TIMEOUT
        )

    def send_signal(self, part: str, number: signal.Signals) -> int:
        """Send a signal and return the pid."""
        pid = self.pids[part]
        os.kill(pid, number)
        return pid

    async def kill(self, part: str) -> int:
        """Kill a part with -9 and wait until it has ended."""
        pid = self.pids[part]
        birth = identity(pid)
        os.kill(pid, signal.SIGKILL)

        async def look() -> str | None:
            return identity(pid)

        await eventually(look, lambda now: now != birth)
        return pid

    async def replaced(self, part: str, dead: int, within: float = 30) -> int:
        """Return the pid of the part's successor, as recorded by the supervisor."""

        async def look() -> int:
            return self.pids.get(part, dead)

        return await eventually(look, lambda pid: pid != dead, within)

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Freeze the part: it keeps its ports and does not respond, an outage that no supervisor ends."""
        pid = self.send_signal(part, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send one signal and return the exit code within the documented time."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_TIMEOUT):
            return await self.process.wait()

    def kill_everything(self) -> None:
        """End what a failed test leaves behind. After a clean stop this has no effect."""
        if self.process.returncode is None:
            for pid in (self.process.pid, *descendants(self.process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def curl(self) -> str:
        """Return the curl command that it prints."""
        found = re.search(r"^curl .*\Z", self.printed, re.MULTILINE | re.DOTALL)
        assert found, self.printed
        return found[0]


def descendants(pid: int) -> list[int]:
    """Return the descendants of a process. A process that ends in between is omitted."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    found = children.get(pid, [])
    return [*found, *(below for child in found for below in descendants(child))]


def survivors(identities: dict[str, str | None]) -> list[str]:
    """Return those that still run, with their command lines.

    A process without a command line has released its memory and waits for the kernel, up to a minute on a busy machine.
    """
    pids = {name: int(name.split()[-1]) for name in identities}
    alive = {name: command_line_of(pid) for name, pid in pids.items() if f"{pid} {identity(pid)}" == identities[name]}
    return [f"{name}: {' '.join(command)}" for name, command in alive.items() if any(command)]


async def start(root: Path, command: tuple[str, ...] = COMMAND, **settings: str) -> StackRun:
    """Start on free ports unless `settings` names others, without waiting."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    given = {"DATA_DIR": str(root), "LOG_LEVEL": "warning", **dict.fromkeys(PORTS, "0"), **settings}
    environment = clean | {f"TOCSIN_{name}": value for name, value in given.items()}
    terminal = root.with_suffix(".out")
    with terminal.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *with_parent_death_signal(command), stdin=DEVNULL, stdout=out, stderr=out, cwd=CHECKOUT, env=environment
        )
    return StackRun(process, root, terminal)


@asynccontextmanager
async def running_stack(root: Path, command: tuple[str, ...] = COMMAND, **settings: str) -> AsyncIterator[StackRun]:
    """Start and wait for the greeting. One SIGTERM ends it, unless the test has, and leaves no process."""
    run = await start(root, command, **settings)
    try:
        await run.wait_until_ready()
        yield run
        if run.process.returncode is None:
            family = run.identities
            assert await run.stop() == 0
            assert survivors(family) == []
    finally:
        run.kill_everything()
