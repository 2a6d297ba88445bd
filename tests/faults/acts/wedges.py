"""Worker processes whose event loop is blocked for good, below the supervisor that they have in production."""

import asyncio
import os
import signal
from pathlib import Path

from tests.faults.acts.table import fault
from tests.faults.acts.workers import some, texts
from tests.faults.part import Part
from tests.faults.scene import Scene
from tests.faults.vendor.moods import Mood
from tests.polling import eventually
from watchdog import HANGS

PROCESSES = 2
RESTARTED_WITHIN = 30.0  # seconds until the successor is there, as promised


@fault
async def wedged_worker(scene: Scene) -> None:
    """The loop of a worker process is blocked during its calls: its watchdog ends it, the supervisor starts another."""
    worker = scene.servers.workers[0]
    await worker.stop()
    worker.set({"WORKERS": str(PROCESSES)})
    await worker.become(*scene.servers.program_with("wedge"))
    pids = await _processes(worker)
    async with scene.desk.day(Mood.HOLD, "twilio"):
        sent = await texts(scene)
        await scene.desk.holds("twilio", some(sent))
        os.kill(pids[0], signal.SIGUSR1)
    took = await _replaced(worker, pids[0])
    scene.notes.append(f"a wedged worker process was replaced after {took:.0f} s")
    assert f'"code": {HANGS}' in worker.child.log.read_text(), "the process was not ended by its watchdog"
    scene.cleanups.append(lambda: _as_before(scene, worker))


def _children(worker: Part) -> list[int]:
    pid = worker.process.pid
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def _processes(worker: Part) -> list[int]:
    async def look() -> list[int]:
        return _children(worker)

    return await eventually(look, lambda pids: len(pids) == PROCESSES, RESTARTED_WITHIN)


async def _replaced(worker: Part, pid: int) -> float:
    """Return after how many seconds there were as many processes again, without this one."""
    began = asyncio.get_running_loop().time()

    async def look() -> list[int]:
        return _children(worker)

    await eventually(look, lambda pids: pid not in pids and len(pids) == PROCESSES, 2 * RESTARTED_WITHIN)
    return asyncio.get_running_loop().time() - began


async def _as_before(scene: Scene, worker: Part) -> None:
    worker.set({"WORKERS": "1"})
    await worker.become(*scene.servers.program_with())
