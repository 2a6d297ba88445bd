"""Measure the floor: a worker configured like Tocsin's whose workflow only calls one activity that does nothing.

It measures Temporal's own cost of one durable step. It is a separate process, started by `benchmarks/servers.py`.
"""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "benchmark-floor"
READY = "floor ready"


@activity.defn
async def touch() -> float:
    """Return the time at which a minimal sender would have called its vendor, in seconds since 1970."""
    return time.time()


@workflow.defn
class FloorWorkflow:
    @workflow.run
    async def run(self) -> float:
        return await workflow.execute_activity(touch, start_to_close_timeout=timedelta(seconds=10))


async def serve(address: str, queue: str, **options: Any) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = Worker(
        await Client.connect(address),
        task_queue=queue,
        workflows=[FloorWorkflow],
        activities=[touch],
        nonsticky_to_sticky_poll_ratio=0.5,  # as in worker.py
        **options,
    )
    async with worker:
        print(READY, flush=True)
        await stop.wait()


def serve_and_exit(queue: str, **options: Any) -> None:
    """Serve the address of the command line until a signal. A normal exit can abort in the SDK's native threads while
    the interpreter shuts down."""
    asyncio.run(serve(sys.argv[1], queue, **options))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    serve_and_exit(QUEUE)
