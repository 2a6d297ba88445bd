"""Run the workers: in each of TOCSIN_WORKERS processes one Temporal worker per task queue, until SIGTERM drains them.

`worker.py NAME ...` serves only these queues.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.delivery import MAX_SHARED_QUEUE_CALLS
from bootstrap import Container, check_settings, open_container
from config import BUILD_ID, ServerSettings, Settings
from config.sources import InvalidSettings
from dispatch.start_holds import hold_on_start, wait_for_release
from dispatch.temporal.connection import connect_with_settings
from dispatch.temporal.sdk_metrics import serve_sdk_metrics
from dispatch.temporal.search_attributes import ensure_search_attributes
from domain.channels import Channel
from domain.names import NOTIFICATIONS_QUEUE, delivery_queue
from logs import configure_logging
from metrics.engine import FailureCause, count_background_failure
from metrics.page import MetricsPage
from metrics.server import MetricsSockets, open_metrics_sockets, serve_metrics
from storage.encryption_keys import verify_keys
from supervision.process_flags import freeze_loaded_objects, hide_memory
from supervision.watchdog import Watchdog, WorkflowThreads, do_nothing, liveness_writer
from supervision.worker_processes import USAGE_EXIT_CODE, WorkerProcesses, run_on_uvloop
from supervision.worker_shares import settings_of_one_worker, worker_count
from workflows.digest import DigestWorkflow
from workflows.notification import NotificationWorkflow
from workflows.tick import TickWorkflow

log = structlog.get_logger(__name__)

RECONNECT_DELAY = 1.0
# Pollers per queue; the default is five. Most calls start without a poll. A poll of a frozen process can get a call,
# which then ends only by its timeout.
ACTIVITY_POLLS = 2


class UnknownQueue(Exception):
    """The message names the known queues."""


def check_queues(settings: Settings, queues: Sequence[str]) -> None:
    """Check the queue names before anything is connected. The known queues follow from the channels' pools. Raise
    UnknownQueue."""
    providers = {name for channel in Channel for name in settings.pool(channel)}
    known = [NOTIFICATIONS_QUEUE, *map(delivery_queue, sorted(providers))]
    if unknown := [name for name in queues if name not in known]:
        raise UnknownQueue(f"there is no queue {', '.join(unknown)}; choose from {', '.join(known)}")


def build_workers(
    container: Container, client: Client, queues: Sequence[str] = (), threads: WorkflowThreads | None = None
) -> list[Worker]:
    """Build the worker of workflows and one per configured provider, or only those of the given queues."""
    drain = timedelta(seconds=container.settings.drain_timeout)
    builders = {NOTIFICATIONS_QUEUE: partial(_build_workflow_worker, container, client, drain, threads)} | {
        delivery_queue(name): partial(_build_delivery_worker, container, client, name, drain)
        for name in container.providers
    }
    return [build() for name, build in builders.items() if name in queues or not queues]


def _build_workflow_worker(
    container: Container, client: Client, drain: timedelta, threads: WorkflowThreads | None
) -> Worker:
    return Worker(
        client,
        task_queue=NOTIFICATIONS_QUEUE,
        workflows=[NotificationWorkflow, DigestWorkflow, TickWorkflow],
        # Calls of providers without a rate run here: only on the workflow's own queue, and only without a rate, the
        # server returns an activity directly to the worker that schedules it.
        activities=[*container.build_activities(), *container.build_provider_activities()],
        max_concurrent_activities=2 * MAX_SHARED_QUEUE_CALLS,
        max_concurrent_activity_task_polls=ACTIVITY_POLLS,
        # The SDK's sandbox costs half of the worker's CPU; a lint and sandboxed tests stand in for it (decision 0011).
        workflow_runner=UnsandboxedWorkflowRunner(),
        workflow_task_executor=threads,
        build_id=BUILD_ID,
        graceful_shutdown_timeout=drain,
        nonsticky_to_sticky_poll_ratio=0.5,
    )


def _build_delivery_worker(container: Container, client: Client, provider: str, drain: timedelta) -> Worker:
    """Build the worker of a provider. The server enforces the provider's rate over all workers of its queue."""
    return Worker(
        client,
        task_queue=delivery_queue(provider),
        activities=container.build_provider_activities(),
        max_concurrent_activity_task_polls=ACTIVITY_POLLS,
        graceful_shutdown_timeout=drain,
        max_task_queue_activities_per_second=container.settings.rate(provider) or None,
    )


async def wait_for_temporal(settings: Settings) -> Client:
    """Wait until the server is available and has our search attributes. The process does not exit, because a
    restart would not help.

    A worker cannot start before its namespace exists, so it creates what is missing. `StoreMonitor` does the same
    for a store that is replaced later. Several processes may do so at once; the later ones find it done.
    """
    while True:
        try:
            client = await connect_with_settings(settings, lazy=False)
            await ensure_search_attributes(client)
        except (RuntimeError, RPCError) as error:
            log.warning("Temporal is not ready yet", error=str(error)[:200])
            count_background_failure("connect", FailureCause.TEMPORAL)
        else:
            return client
        await asyncio.sleep(RECONNECT_DELAY)


async def run(
    settings: Settings,
    stop: asyncio.Event,
    watchdog: Watchdog,
    queues: Sequence[str] = (),
    page: MetricsPage | None = None,
) -> None:
    """Run until stopped. `page` shows the metrics of this process, if it is served."""
    check_queues(settings, queues)
    stopping = asyncio.create_task(stop.wait())
    connecting = asyncio.create_task(wait_for_temporal(settings))
    await asyncio.wait({stopping, connecting}, return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        return
    async with open_container(settings, client=connecting.result(), role="worker", page=page) as container:
        container.renderer.start_children()
        if not await _wait_until_released(container, stopping):
            return
        background_loops = [container.dispatcher.run, container.watch_circuits, container.process_registration.run]
        threads = WorkflowThreads()
        watchdog.is_healthy = threads.is_progressing
        await serve(
            build_workers(container, connecting.result(), queues, threads),
            stopping,
            background_loops,
            watchdog.expect_exit,
        )


async def _wait_until_released(container: Container, stopping: asyncio.Task[bool]) -> bool:
    """Wait while everything is held. Return False if the process is stopped before."""
    await verify_keys(container.database)
    await hold_on_start(container.database, container.settings.hold_on_start)
    waiting = asyncio.create_task(wait_for_release(container.database))
    await asyncio.wait({stopping, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if waiting.done():
        waiting.result()
        return True
    waiting.cancel()
    return False


async def serve(
    all_workers: Sequence[Worker],
    stopping: asyncio.Task[bool],
    background_loops: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    on_end: Callable[[], None] = do_nothing,
) -> None:
    """Run until stopped, or until a worker or a background loop ends by itself. Then poll no new work, and let running
    work finish within the drain time. Raise the error of a background loop that died; the supervisor restarts the
    process."""
    running = [asyncio.create_task(worker.run()) for worker in all_workers]
    loops = [asyncio.create_task(loop()) for loop in background_loops]
    log.info("worker ready", queues=[worker.task_queue for worker in all_workers])
    await asyncio.wait({stopping, *running, *loops}, return_when=asyncio.FIRST_COMPLETED)
    on_end()
    for loop in loops:
        loop.cancel()
    ended = await asyncio.gather(*loops, return_exceptions=True)
    await asyncio.gather(*(worker.shutdown() for worker in all_workers))
    await asyncio.gather(*running)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def main(watchdog: Watchdog, processes: int = 1, number: int = 0, sockets: MetricsSockets | None = None) -> None:
    """Run one of `processes` processes. `sockets` serve their metrics."""
    settings = settings_of_one_worker(ServerSettings.read(), processes)
    configure_logging(settings)
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda _: watchdog.expect_exit())
    async with AsyncExitStack() as stack:
        page = MetricsPage(serve_sdk_metrics())
        if sockets is not None:
            await stack.enter_async_context(serve_metrics(sockets, number, page))
        await run(settings, stop, watchdog, sys.argv[1:], page)


def run_processes() -> int:
    """Run one process, or supervise several. Return the exit code."""
    settings = ServerSettings.read()
    configure_logging(settings)
    check_queues(settings, sys.argv[1:])
    count, heartbeat, number = worker_count(settings), liveness_writer(settings.liveness_path), 0
    sockets = open_metrics_sockets(settings.metrics_host, settings.metrics_port, count)
    if count > 1:
        asyncio.run(check_settings(settings))  # once, not in each process
        processes = WorkerProcesses(count, settings.drain_timeout, heartbeat)
        if (code := processes.supervise()) is not None:
            return code
        heartbeat, number = processes.heartbeat, processes.number
    watchdog = Watchdog(settings.drain_timeout, heartbeat)
    freeze_loaded_objects()
    run_on_uvloop(main(watchdog, count, number, sockets), watchdog)
    return 0


if __name__ == "__main__":
    hide_memory()
    try:
        code = run_processes()
    except UnknownQueue as error:
        sys.stderr.write(f"worker: {error}\n")
        code = USAGE_EXIT_CODE
    except InvalidSettings as error:
        sys.stderr.writelines(f"worker: {line}\n" for line in error.lines)
        code = USAGE_EXIT_CODE
    sys.stdout.flush()
    sys.stderr.flush()
    # During interpreter shutdown, a normal exit can abort in the native threads of the SDK.
    os._exit(code)
