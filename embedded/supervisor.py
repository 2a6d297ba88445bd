"""Supervise the children: start them, restart one that dies, stop them in the reverse order of their start."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from embedded.errors import StackError
from embedded.orphan_processes import ProcessRecord, kill_group
from embedded.process_identity import identity
from embedded.processes import ProcessSpec, describe_exit, log_tail, spawn_child, stop_child
from supervision.watchdog import CHECKS_BEFORE_KILL, HEARTBEAT_INTERVAL, StallDetector, read_liveness_time
from supervision.worker_processes import Backoff

POLL_INTERVAL = 0.02
HOOK_RETRY_DELAY = 0.5
# Below the promised 15 s: killing, reaping and removing files take time as well.
STOP_TIMEOUT = 14.6


def print_line(line: str) -> None:
    """Print to the terminal. A closed pipe (`make run | head`) must not stop the stack."""
    with suppress(OSError, ValueError):
        print(line, flush=True)


class Supervisor:
    """Supervise processes. `records` is the directory of the pid files. `on_change` is called after each change of a
    pid.
    """

    def __init__(
        self,
        records: Path,
        *,
        print_line: Callable[[str], None] = print_line,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._records = records
        self._print_line = print_line
        self._on_change = on_change
        self._children: dict[str, ProcessSpec] = {}
        self._running: dict[str, Process] = {}
        self._watches: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    async def start(self, child: ProcessSpec) -> None:
        """Start the child. Return once it is ready and its hook has run. Raises StackError otherwise."""
        try:
            process = await self._spawn(child)
        except OSError as error:
            raise StackError(f"cannot start {child.name}: {error}") from error
        await self._wait_until_ready(child, process, self._run_readiness(child))
        self._watches.append(asyncio.create_task(self._watch(child, process), name=f"watch {child.name}"))

    async def stop(self, within: float = STOP_TIMEOUT) -> None:
        """Stop all children, last started first, within that many seconds. Idempotent."""
        await self._stop_watching()
        deadline = _now() + within
        for stage in reversed(dict.fromkeys(map(_stage_of, self._children.values()))):
            processes = {
                name: self._running.pop(name)
                for name in list(self._running)
                if _stage_of(self._children[name]) == stage
            }
            min_graces = {_stage_of(self._children[name]): self._children[name].min_grace for name in self._running}
            stage_deadline = deadline - sum(min_graces.values())
            await asyncio.gather(
                *(self._stop_one(name, process, stage_deadline) for name, process in processes.items())
            )

    async def _stop_one(self, name: str, process: Process, deadline: float) -> None:
        child = self._children[name]
        await stop_child(process, child.stop_signal, max(min(child.grace, deadline - _now()), 0))
        self._record(name).unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _spawn(self, child: ProcessSpec) -> Process:
        self._children[child.name] = child
        if child.liveness is not None:
            child.liveness.unlink(missing_ok=True)
        process = await spawn_child(child)
        self._running[child.name] = process
        self._write_record(child, process)
        return process

    def _write_record(self, child: ProcessSpec, process: Process) -> None:
        """Record the new pid. A full disk must not end the process that has just started."""
        try:
            if current_identity := identity(process.pid):
                ProcessRecord(process.pid, current_identity, child.stop_signal, child.grace).write(
                    self._record(child.name)
                )
            self._on_change()
        except OSError as error:
            self._print_line(f"cannot record the pid of {child.name}: {error}")

    async def _watch(self, child: ProcessSpec, process: Process) -> None:
        backoff = Backoff()
        started = _now()
        while True:
            code = await self._wait_for_exit(child, process)
            if self._running.pop(child.name, None):  # once: after the next start the pid may belong to another process
                kill_group(process.pid)
            delay = backoff.after(_now() - started)
            self._print_line(
                f"{child.name} (pid {process.pid}) {describe_exit(code)}; starting it again in {delay:g} s"
                f" (log: {child.log})"
            )
            await asyncio.sleep(delay)
            started = _now()
            process = await self._respawn(child, process)

    async def _wait_for_exit(self, child: ProcessSpec, process: Process) -> int:
        """Return the exit code as soon as the process has ended. Kill it if it stops renewing its liveness file."""
        exit_task, stall_detector = asyncio.create_task(process.wait()), StallDetector(CHECKS_BEFORE_KILL)
        try:
            while not (await asyncio.wait({exit_task}, timeout=HEARTBEAT_INTERVAL if child.liveness else None))[0]:
                heartbeat = child.liveness and read_liveness_time(child.liveness)
                if heartbeat and stall_detector.is_stalled(heartbeat):
                    self._print_line(
                        f"{child.name} (pid {process.pid}) is unresponsive and is killed (log: {child.log})"
                    )
                    kill_group(process.pid)
            return exit_task.result()
        finally:
            exit_task.cancel()

    async def _respawn(self, child: ProcessSpec, dead: Process) -> Process:
        """Return the new process, or the dead one if the start fails, so that the next round waits longer."""
        try:
            process = await self._spawn(child)
        except OSError as error:
            self._print_line(f"cannot start {child.name}: {error}")
            return dead
        # A child that is not ready in time is dead now: the watch reports it and retries.
        with suppress(StackError):
            await self._wait_until_ready(child, process, self._run_readiness(child, retries_hook=True))
        return process

    async def _wait_until_ready(self, child: ProcessSpec, process: Process, work: Coroutine[Any, Any, None]) -> None:
        """Wait for `work`, the death of the process or the timeout, whichever is first."""
        tasks = [asyncio.create_task(work), asyncio.create_task(process.wait())]
        try:
            await asyncio.wait(tasks, timeout=child.ready_timeout, return_when=asyncio.FIRST_COMPLETED)
            ready_task, death_task = tasks
            if ready_task.done():
                ready_task.result()
                return
            if death_task.done():
                raise StackError(f"{child.name} {describe_exit(process.returncode)}:\n{log_tail(child.log)}")
            await stop_child(process, child.stop_signal, child.min_grace)
            raise StackError(f"{child.name} was not ready within {child.ready_timeout:g} s:\n{log_tail(child.log)}")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_readiness(self, child: ProcessSpec, *, retries_hook: bool = False) -> None:
        """Wait until the child is ready, then run its hook. `retries_hook` repeats a hook that fails."""
        while not await child.ready():  # noqa: ASYNC110 - another process knows, no event of ours
            await asyncio.sleep(POLL_INTERVAL)
        while True:
            try:
                return await child.after_start()
            except StackError as error:
                if not retries_hook:
                    raise StackError(f"{child.name} started, but its hook failed: {error}") from error
                await asyncio.sleep(HOOK_RETRY_DELAY)

    async def _stop_watching(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._watches.clear()

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.pid"


def _stage_of(child: ProcessSpec) -> str:
    return child.stage or child.name


def _now() -> float:
    return asyncio.get_running_loop().time()
