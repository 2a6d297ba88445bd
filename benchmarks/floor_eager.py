"""Measure the second floor, for information: that of `floor.py` without the SDK's sandbox.

Its activity is executed eagerly, like that of `floor.py` where the server allows it.
"""

import asyncio
import os
import signal
import sys

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.floor import READY, FloorWorkflow, touch

QUEUE = "benchmark-floor-eager"


async def main(address: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = Worker(
        await Client.connect(address),
        task_queue=QUEUE,
        workflows=[FloorWorkflow],
        activities=[touch],
        workflow_runner=UnsandboxedWorkflowRunner(),
        disable_eager_activity_execution=False,
        nonsticky_to_sticky_poll_ratio=0.5,  # as in worker.py
    )
    async with worker:
        print(READY, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    sys.stdout.flush()
    # A normal exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(0)
