"""Process entry: one Temporal worker per task queue and a dispatcher as backstop, until SIGTERM drains them."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from bootstrap import Parts, configure_logging, open_parts
from config import Settings
from dispatch.connection import connect
from domain.names import NOTIFICATIONS_QUEUE, delivery_queue
from workflows.notification import NotificationWorkflow
from workflows.sweep import SweepWorkflow

log = structlog.get_logger(__name__)

CONNECT_AGAIN = 1.0


def workers(parts: Parts, client: Client) -> list[Worker]:
    drain = timedelta(seconds=parts.settings.drain_timeout)
    own = Worker(
        client,
        task_queue=NOTIFICATIONS_QUEUE,
        workflows=[NotificationWorkflow, SweepWorkflow],
        activities=parts.activities,
        graceful_shutdown_timeout=drain,
        nonsticky_to_sticky_poll_ratio=0.5,
    )
    return [own, *(_delivery_worker(parts, client, name, drain) for name in parts.providers)]


def _delivery_worker(parts: Parts, client: Client, provider: str, drain: timedelta) -> Worker:
    """The server holds the provider's rate over all workers of its queue."""
    return Worker(
        client,
        task_queue=delivery_queue(provider),
        activities=[parts.delivering.deliver],
        graceful_shutdown_timeout=drain,
        max_task_queue_activities_per_second=parts.settings.rate(provider) or None,
    )


async def wait_for_temporal(settings: Settings) -> Client:
    """Waits inside the process: a restart would help nobody."""
    while True:
        try:
            return await connect(settings.temporal_address, settings.temporal_namespace, lazy=False)
        except RuntimeError as error:
            log.warning("Temporal does not answer yet", error=str(error)[:200])
        await asyncio.sleep(CONNECT_AGAIN)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    connecting = asyncio.create_task(wait_for_temporal(settings))
    await asyncio.wait({stopping, connecting}, return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        return
    async with open_parts(settings, client=connecting.result()) as parts:
        dispatching = asyncio.create_task(parts.dispatcher.run())
        try:
            await serve(workers(parts, connecting.result()), stopping)
        finally:
            dispatching.cancel()
            await asyncio.gather(dispatching, return_exceptions=True)


async def serve(all_workers: Sequence[Worker], stopping: asyncio.Task[bool]) -> None:
    """Until told to stop: then no new work is polled, and what runs has the drain time to end."""
    running = [asyncio.create_task(worker.run()) for worker in all_workers]
    log.info("worker ready", queues=[worker.task_queue for worker in all_workers])
    await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*(worker.shutdown() for worker in all_workers))
    await asyncio.gather(*running)


async def main() -> None:
    settings = Settings()
    configure_logging(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    # A plain exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(0)
