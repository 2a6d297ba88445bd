"""Measure the latency of urgent sends, idle and behind a backlog of bulk sends, and the rate that bulk sends keep."""

import asyncio
import os
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace

from benchmarks.clients import open_clients
from benchmarks.figures import Figures
from benchmarks.measures import MeasurementTimeout, SendMeasures
from benchmarks.servers import WORKER, BenchmarkServers, run_process, start_second_api

URGENT_PRIORITY = 1
WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class BacklogSize:
    """In each round without a backlog, `count` urgent sends follow each other. In each round with `bulk` waiting sends,
    these are sent alone for `alone_seconds`, and then with `count` urgent ones."""

    rounds: int = 5
    bulk: int = 10_000
    count: int = 15
    alone_seconds: float = 6.0


async def measure_backlog(servers: BenchmarkServers, size: BacklogSize, figures: Figures) -> None:
    """Measure the backlog, last in a run: it stays in a database that ends with the run."""
    async with start_second_api(servers, "backlog") as own, open_clients(own) as clients:
        await clients.prepare()
        measures = SendMeasures(clients)
        # As many worker processes as an installation has by default: a backlog keeps all cores busy.
        own = replace(own, env={**own.env, "TOCSIN_WORKERS": os.environ.get("TOCSIN_WORKERS", "0")})
        async with run_process(own, "worker", *WORKER):
            await measures.batch_rate(min(WARM_UP, size.bulk))
            for _ in range(size.rounds):
                await _measure_urgent(measures, size.count, "latency_priority_1_idle", figures)
            for _ in range(size.rounds):
                await measures.send_bulk(size.bulk - await measures.count_backlog())
                figures.add("bulk_rate_alone", [await _bulk_rate(measures, asyncio.sleep(size.alone_seconds))])
                urgent = _measure_urgent(measures, size.count, "latency_priority_1_backlog", figures)
                figures.add("bulk_rate_with_urgent", [await _bulk_rate(measures, urgent)])


async def _bulk_rate(measures: SendMeasures, concurrent_work: Awaitable[None]) -> float:
    """Return by how much the backlog shrinks per second."""
    before, began = await measures.count_backlog(), time.perf_counter()
    await concurrent_work
    after, seconds = await measures.count_backlog(), time.perf_counter() - began
    if not after:
        raise MeasurementTimeout("the backlog was empty before the end of a measurement")
    return (before - after) / seconds


async def _measure_urgent(measures: SendMeasures, count: int, name: str, figures: Figures) -> None:
    figures.add(name, [await measures.send_latency(URGENT_PRIORITY) for _ in range(count)])
