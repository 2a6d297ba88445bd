"""Latency of urgent sends: idle, and behind a backlog of bulk sends; and what bulk keeps of its rate meanwhile."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from benchmarks.clients import open_clients
from benchmarks.figures import Figures
from benchmarks.measures import Measures, TooSlow
from benchmarks.stack import WORKER, Servers, second_api, worker

URGENT = 1
WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class BacklogSize:
    """`bulk` sends wait, and go out alone for `undisturbed` seconds. Each round then has `count` urgent sends, one at a
    time."""

    rounds: int = 5
    bulk: int = 10_000
    count: int = 15
    undisturbed: float = 10.0


async def measure_backlog(given: Servers, size: BacklogSize, figures: Figures) -> None:
    """The last of a run: the backlog is left in a database that ends with it."""
    async with second_api(given, "backlog") as own, open_clients(own) as clients:
        await clients.prepare()
        measures = Measures(clients)
        async with worker(own, "worker", *WORKER):
            await measures.batch_rate(min(WARM_UP, size.bulk))
            await _urgent(measures, size, "latency_priority_1_idle", figures)
            await measures.send_bulk(size.bulk)
            figures.add("bulk_rate_alone", [await _bulk_rate(measures, asyncio.sleep(size.undisturbed))])
            urgent = _urgent(measures, size, "latency_priority_1_backlog", figures)
            figures.add("bulk_rate_beside_urgent", [await _bulk_rate(measures, urgent)])


async def _bulk_rate(measures: Measures, meanwhile: Awaitable[None]) -> float:
    """How much the backlog shrinks per second."""
    before, began = await measures.backlog(), time.perf_counter()
    await meanwhile
    after, seconds = await measures.backlog(), time.perf_counter() - began
    if not after:
        raise TooSlow("the backlog was gone before the last urgent send")
    return (before - after) / seconds


async def _urgent(measures: Measures, size: BacklogSize, name: str, figures: Figures) -> None:
    for _ in range(size.rounds):
        figures.add(name, [await measures.send_latency(URGENT) for _ in range(size.count)])
