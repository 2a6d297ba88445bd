"""Block the event loop of a worker process permanently, below the supervisor that runs it in production."""

import asyncio
import os
import signal
from pathlib import Path

from faults.catalog.table import fault
from faults.catalog.workers import burst_in_flight
from faults.scenario import Scenario
from faults.stack_process import StackProcess
from supervision.watchdog import HANG_EXIT_CODE
from tests.polling import eventually

PROCESSES = 2
RESTART_TIMEOUT = 30.0  # seconds until the replacement runs, as documented


@fault
async def blocked_event_loop(scenario: Scenario) -> None:
    """Block the event loop of a worker process: its watchdog ends it, and the supervisor starts another."""
    worker = scenario.servers.workers[0]
    await worker.stop()
    worker.set({"WORKERS": str(PROCESSES)})
    await worker.restart_as(*scenario.servers.program_with("block"))
    pids = await _processes(worker)
    async with burst_in_flight(scenario):
        os.kill(pids[0], signal.SIGUSR1)
    took = await _replaced(worker, pids[0])
    scenario.notes.append(f"a blocked worker process was replaced after {took:.0f} s")
    assert f'"code": {HANG_EXIT_CODE}' in worker.child.log.read_text(), "the watchdog did not end the process"
    scenario.cleanups.append(lambda: _as_before(scenario, worker))


def _children(worker: StackProcess) -> list[int]:
    pid = worker.process.pid
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def _processes(worker: StackProcess) -> list[int]:
    async def look() -> list[int]:
        return _children(worker)

    return await eventually(look, lambda pids: len(pids) == PROCESSES, RESTART_TIMEOUT)


async def _replaced(worker: StackProcess, pid: int) -> float:
    """Return the seconds until the number of processes is restored, without this one."""
    began = asyncio.get_running_loop().time()

    async def look() -> list[int]:
        return _children(worker)

    await eventually(look, lambda pids: pid not in pids and len(pids) == PROCESSES, 2 * RESTART_TIMEOUT)
    return asyncio.get_running_loop().time() - began


async def _as_before(scenario: Scenario, worker: StackProcess) -> None:
    worker.set({"WORKERS": "1"})
    await worker.restart_as(*scenario.servers.program_with())
