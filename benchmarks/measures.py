"""Measure with a worker: rates per second, latencies in seconds, CPU in milliseconds; one figure per call.

Each call leaves nothing running.
"""

import asyncio
import operator
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

from benchmarks.clients import Clients
from benchmarks.floor import QUEUE, FloorWorkflow
from benchmarks.messages import build_send

IN_FLIGHT = 16  # concurrent requests or starts
DONE_TIMEOUT = 120.0
POLL_INTERVAL = 0.01
# The query for many ids costs as much CPU time as a send; latencies are read from the rows afterwards.
BULK_POLL_INTERVAL = 0.25
BULK_PRIORITY = 4
BATCH_ITEMS = 1_000
SELECT_LAST_SENT_AT = "SELECT max(sent_at) FROM delivery WHERE notification_id = ANY($1::uuid[])"
SELECT_SENT_AT = "SELECT sent_at FROM delivery WHERE notification_id = $1::uuid AND sent_at IS NOT NULL"
COUNT_FINISHED = "SELECT count(*) FROM notification WHERE id = ANY($1::uuid[]) AND finished_at IS NOT NULL"
COUNT_UNFINISHED = "SELECT count(*) FROM notification WHERE finished_at IS NULL"


class MeasurementTimeout(Exception):
    """Signal a measurement that did not end within its limit."""


class SendMeasures:
    """Measure sends. The clients must be prepared."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._temporal = clients.temporal
        self._database = clients.database

    async def floor_rate(self, count: int, queue: str = QUEUE) -> float:
        started = time.perf_counter()
        await _run_concurrently([lambda: self._run_floor(queue)] * count)
        return count / (time.perf_counter() - started)

    async def single_rate(self, count: int) -> float:
        """Send one by one, until the provider's acceptance of the last is recorded. Return when all have finished."""
        started = time.time()
        ids = await _run_concurrently([self._send] * count)
        return count / await self._wait_until_sent(ids, started)

    async def batch_rate(self, count: int) -> float:
        """Send one `send-batch`, so that the engine has all of them at once."""
        started = time.time()
        ids = await self._send_batch([build_send(3)] * count)
        return count / await self._wait_until_sent(ids, started)

    async def floor_latency(self) -> float:
        """Return the seconds from the call until the activity runs."""
        started = time.time()
        return await self._run_floor(QUEUE) - started

    async def send_latency(self, priority: int) -> float:
        """Return the seconds from the call until the provider's acceptance is recorded."""
        started = time.time()
        id = await self._send(priority)
        sent_at = await self._wait_until(lambda: self._database.fetchval(SELECT_SENT_AT, id), bool)
        return float(sent_at.timestamp() - started)

    async def send_bulk(self, count: int) -> None:
        """Accept a backlog without waiting for it."""
        for first in range(0, count, BATCH_ITEMS):
            await self._send_batch([build_send(BULK_PRIORITY)] * min(BATCH_ITEMS, count - first))

    async def count_backlog(self) -> int:
        """Count the notifications that have not finished."""
        return int(await self._database.fetchval(COUNT_UNFINISHED))

    async def _wait_until_sent(self, ids: list[str], started: float) -> float:
        """Return the seconds from `started`, a Unix time, until all are sent. Return when all have finished."""
        is_done = partial(operator.eq, len(ids))
        await self._wait_until(
            lambda: self._database.fetchval(COUNT_FINISHED, ids), is_done, interval=BULK_POLL_INTERVAL
        )
        last = await self._database.fetchval(SELECT_LAST_SENT_AT, ids)
        return float(last.timestamp() - started)

    async def _run_floor(self, queue: str) -> float:
        return await self._temporal.execute_workflow(FloorWorkflow.run, id=f"floor-{uuid4()}", task_queue=queue)

    async def _send(self, priority: int = 3) -> str:
        return str((await self._clients.call("POST", "/notifications/send", build_send(priority)))["id"])

    async def _send_batch(self, items: list[dict[str, Any]]) -> list[str]:
        response = await self._clients.call("POST", "/notifications/send-batch", {"items": items})
        return [item["id"] for item in response["items"]]

    async def _wait_until(
        self, read: Callable[[], Awaitable[Any]], is_done: Callable[[Any], bool], interval: float = POLL_INTERVAL
    ) -> Any:
        deadline = time.monotonic() + DONE_TIMEOUT
        while not is_done(value := await read()):
            if time.monotonic() > deadline:
                raise MeasurementTimeout(f"not done within {DONE_TIMEOUT:g} s; last seen: {value}")
            await asyncio.sleep(interval)
        return value


async def _run_concurrently(calls: list[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Run all calls, sixteen at a time, and return the results in order."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def run_one(call: Callable[[], Awaitable[Any]]) -> Any:
        async with slots:
            return await call()

    return await asyncio.gather(*(run_one(call) for call in calls))
