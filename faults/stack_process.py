"""Control one process of a run by its pid: start, kill, stop and freeze it. One that exits is restarted, as a
supervisor would.
"""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from config.sources import PREFIX
from embedded.orphan_processes import kill_group
from embedded.processes import ProcessSpec, describe_exit, log_tail, spawn_child, stop_child
from embedded.readiness import Probe
from tests.polling import eventually


class DidNotStart(AssertionError):
    """Signal a failed start, with the end of the log."""


class StackProcess:
    """Control a process. `probe` is requested before each start and reports when that start has succeeded. `deaths` are
    the unexpected exits.
    """

    def __init__(self, child: ProcessSpec, probe: Callable[[], Probe]) -> None:
        self.child = child
        self.deaths: list[str] = []
        self._probe = probe
        self._env = child.env
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.child.name

    @property
    def process(self) -> Process:
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        ready = self._probe()
        self._process = process = await spawn_child(self.child)

        async def up() -> bool:
            if process.returncode is not None:
                raise DidNotStart(f"{self.name} {describe_exit(process.returncode)}:\n{log_tail(self.child.log)}")
            return await ready()

        await eventually(up, bool, self.child.ready_timeout)
        await self.child.after_start()
        self._watch = asyncio.create_task(self._keep(process), name=f"keep {self.name}")

    async def _keep(self, process: Process) -> None:
        code = await process.wait()
        kill_group(process.pid)
        self.deaths.append(f"{self.name} {describe_exit(code)}")
        await self.start()

    def stop_watching(self) -> None:
        """Stop restarting it."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        """Kill it with -9, with its own processes, and wait until it has ended."""
        self.stop_watching()
        self.send_signal(signal.SIGKILL)
        await self.process.wait()
        kill_group(self.process.pid)

    async def stop(self) -> int | None:
        """Stop it and return its exit code."""
        self.stop_watching()
        if self.running:
            await stop_child(self.process, self.child.stop_signal, self.child.grace)
        return None if self._process is None else self._process.returncode

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it: it keeps its ports and connections and does nothing."""
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def restart_as(self, *argv: str) -> None:
        """Stop it and start it with another program."""
        await self.stop()
        self.child = replace(self.child, argv=argv)
        await self.start()

    def set(self, settings: Mapping[str, str]) -> None:
        """Set settings for its next start that differ from those of the other processes."""
        own = {f"{PREFIX}{name}": value for name, value in settings.items()}
        self.child = replace(self.child, env={**(self._env or {}), **own})

    async def change_settings(self, **settings: str) -> None:
        """Restart it with additional settings."""
        await self.stop()
        self.set(settings)
        await self.start()
