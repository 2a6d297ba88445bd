"""Keeps the children running: starts them, restarts one that dies, stops them in the reverse order of their start."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from embedded.errors import StackError
from embedded.identity import identity
from embedded.orphans import Record, kill_group
from embedded.processes import Child, describe_exit, spawn, stop, tail
from supervision import Backoff
from watchdog import EVERY, KILLED_AFTER_LOOKS, Silence, last_renewed

POLL = 0.02
RETRY_HOOK = 0.5
# Below the promised 15 s: killing, reaping and removing files take their time as well.
STOP_WITHIN = 14.6


def say(line: str) -> None:
    """Tells the person at the terminal; a closed pipe (`make run | head`) must not stop the stack."""
    with suppress(OSError, ValueError):
        print(line, flush=True)


class Supervisor:
    """`records` is the directory of the pid files; `on_change` is called whenever a pid has changed."""

    def __init__(
        self, records: Path, *, say: Callable[[str], None] = say, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._records = records
        self._say = say
        self._on_change = on_change
        self._children: dict[str, Child] = {}
        self._running: dict[str, Process] = {}
        self._watches: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    async def start(self, child: Child) -> None:
        """Returns once the child is ready and its hook has run; raises StackError otherwise."""
        try:
            process = await self._spawn(child)
        except OSError as error:
            raise StackError(f"cannot start {child.name}: {error}") from error
        await self._settle(child, process, self._make_ready(child))
        self._watches.append(asyncio.create_task(self._watch(child, process), name=f"watch {child.name}"))

    async def stop(self, within: float = STOP_WITHIN) -> None:
        """Stops all, last started first, within so many seconds; safe to call twice."""
        await self._stop_watching()
        deadline = _now() + within
        for stage in reversed(dict.fromkeys(map(_stage, self._children.values()))):
            processes = {
                name: self._running.pop(name) for name in list(self._running) if _stage(self._children[name]) == stage
            }
            later = {_stage(self._children[name]): self._children[name].reserve for name in self._running}
            until = deadline - sum(later.values())
            await asyncio.gather(*(self._end(name, process, until) for name, process in processes.items()))

    async def _end(self, name: str, process: Process, deadline: float) -> None:
        child = self._children[name]
        await stop(process, child.stop_signal, max(min(child.grace, deadline - _now()), 0))
        self._record(name).unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _spawn(self, child: Child) -> Process:
        self._children[child.name] = child
        if child.liveness is not None:
            child.liveness.unlink(missing_ok=True)
        process = await spawn(child)
        self._running[child.name] = process
        self._note(child, process)
        return process

    def _note(self, child: Child, process: Process) -> None:
        """Writes down the new pid; a full disk must not cost the process that has just started."""
        try:
            if birth := identity(process.pid):
                Record(process.pid, birth, child.stop_signal, child.grace).write(self._record(child.name))
            self._on_change()
        except OSError as error:
            self._say(f"cannot write down the pid of {child.name}: {error}")

    async def _watch(self, child: Child, process: Process) -> None:
        backoff = Backoff()
        started = _now()
        while True:
            code = await self._end_of(child, process)
            if self._running.pop(child.name, None):  # once: the pid may be somebody else's after the next start
                kill_group(process.pid)
            delay = backoff.after(_now() - started)
            self._say(
                f"{child.name} (pid {process.pid}) {describe_exit(code)}; starting it again in {delay:g} s"
                f" (log: {child.log})"
            )
            await asyncio.sleep(delay)
            started = _now()
            process = await self._respawn(child, process)

    async def _end_of(self, child: Child, process: Process) -> int:
        """Its exit code, as soon as it has ended, which may take a kill."""
        ending, silence = asyncio.create_task(process.wait()), Silence(KILLED_AFTER_LOOKS)
        try:
            while not (await asyncio.wait({ending}, timeout=EVERY if child.liveness else None))[0]:
                beat = child.liveness and last_renewed(child.liveness)
                if beat and silence.lasts(beat):
                    self._say(f"{child.name} (pid {process.pid}) stands still and is killed (log: {child.log})")
                    kill_group(process.pid)
            return ending.result()
        finally:
            ending.cancel()

    async def _respawn(self, child: Child, dead: Process) -> Process:
        """The new process; the dead one when there is none, so that the next round waits longer."""
        try:
            process = await self._spawn(child)
        except OSError as error:
            self._say(f"cannot start {child.name}: {error}")
            return dead
        # When it is not ready in time it is dead by now: the watch says so and tries again.
        with suppress(StackError):
            await self._settle(child, process, self._make_ready(child, patient=True))
        return process

    async def _settle(self, child: Child, process: Process, work: Coroutine[Any, Any, None]) -> None:
        """Waits for `work`, for the death of the process or for the time limit, whichever is first."""
        tasks = [asyncio.create_task(work), asyncio.create_task(process.wait())]
        try:
            await asyncio.wait(tasks, timeout=child.ready_within, return_when=asyncio.FIRST_COMPLETED)
            readying, dying = tasks
            if readying.done():
                readying.result()
                return
            if dying.done():
                raise StackError(f"{child.name} {describe_exit(process.returncode)}:\n{tail(child.log)}")
            await stop(process, child.stop_signal, child.reserve)
            raise StackError(f"{child.name} was not ready within {child.ready_within:g} s:\n{tail(child.log)}")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _make_ready(self, child: Child, *, patient: bool = False) -> None:
        """Asks until the child is ready, then runs its hook; `patient` repeats a hook that fails."""
        while not await child.ready():  # noqa: ASYNC110 - another process knows, no event of ours
            await asyncio.sleep(POLL)
        while True:
            try:
                return await child.after_start()
            except StackError as error:
                if not patient:
                    raise StackError(f"{child.name} started, then: {error}") from error
                await asyncio.sleep(RETRY_HOOK)

    async def _stop_watching(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._watches.clear()

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.pid"


def _stage(child: Child) -> str:
    return child.stage or child.name


def _now() -> float:
    return asyncio.get_running_loop().time()
