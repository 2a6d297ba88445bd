"""One `cli.py dev` in a process and a directory of its own, what it printed, and the means to break its parts."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from embedded.identity import command_line_of, identity
from embedded.processes import with_parent_death_signal
from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from tests.polling import eventually

COMMAND = (sys.executable, "cli.py", "dev")
PORTS = ("API_PORT", "POSTGRES_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT")
READY_TEXT = "Send one yourself:"
START_TIMEOUT = 240
# Promised are 15 s on a machine that has nothing else to do.
STOP_TIMEOUT = 60


class StackRun:
    """`root` is its data directory. Nothing is signalled but the process itself and the pids in its run.json."""

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
        """Of the parts and of everything below them: no later process has the same."""
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
        """The pid that it was sent to."""
        pid = self.pids[part]
        os.kill(pid, number)
        return pid

    async def kill(self, part: str) -> int:
        """-9, and it is really gone."""
        pid = self.pids[part]
        birth = identity(pid)
        os.kill(pid, signal.SIGKILL)

        async def look() -> str | None:
            return identity(pid)

        await eventually(look, lambda now: now != birth)
        return pid

    async def replaced(self, part: str, dead: int, within: float = 30) -> int:
        """The pid of its successor, which the supervisor has started and written down."""

        async def look() -> int:
            return self.pids.get(part, dead)

        return await eventually(look, lambda pid: pid != dead, within)

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """It keeps its ports and answers nobody: an outage that no supervisor ends."""
        pid = self.send_signal(part, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """One signal; its exit code within the promised time."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_TIMEOUT):
            return await self.process.wait()

    def kill_everything(self) -> None:
        """End what a failed test leaves behind; there is nothing to do after a clean stop."""
        if self.process.returncode is None:
            for pid in (self.process.pid, *descendants(self.process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def curl(self) -> str:
        """The command it invites people to copy."""
        found = re.search(r"^curl .*\Z", self.printed, re.MULTILINE | re.DOTALL)
        assert found, self.printed
        return found[0]


def descendants(pid: int) -> list[int]:
    """What it started, and what that started; a process that ends meanwhile is left out."""
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
    """Those of them that still run, with what they say they do. A process without a command line has given its memory
    back and only waits for the kernel, which may take a minute on a busy machine."""
    pids = {name: int(name.split()[-1]) for name in identities}
    alive = {name: command_line_of(pid) for name, pid in pids.items() if f"{pid} {identity(pid)}" == identities[name]}
    return [f"{name}: {' '.join(command)}" for name, command in alive.items() if any(command)]


async def start(root: Path, command: tuple[str, ...] = COMMAND, **settings: str) -> StackRun:
    """On free ports unless `settings` names others; does not wait for anything."""
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
    """Greeted at the beginning; unless the test has ended it, one SIGTERM ends it and leaves nothing running."""
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
