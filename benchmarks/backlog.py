"""Latency of urgent sends: idle, and behind a backlog of bulk sends that leaves at a start rate."""

from dataclasses import dataclass

from benchmarks.clients import open_clients
from benchmarks.figures import Figures
from benchmarks.measures import Measures, TooSlow
from benchmarks.stack import WORKER, Servers, second_api, worker

URGENT = 1
# Of the rate of single sends that this run measured: a start rate is set to what a machine sustains.
SHARE_OF_SENT_RATE = 0.8
WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class BacklogSize:
    """`bulk` sends wait. Each of the rounds has `count` urgent sends, one at a time."""

    rounds: int = 5
    bulk: int = 10_000
    count: int = 15


async def measure_backlog(given: Servers, sent_rate: float, size: BacklogSize, figures: Figures) -> None:
    """The last of a run: the backlog is left in a database that ends with it."""
    async with second_api(given, "backlog", sent_rate * SHARE_OF_SENT_RATE) as own, open_clients(own) as clients:
        await clients.prepare()
        measures = Measures(clients)
        async with worker(own, "worker", *WORKER):
            await measures.batch_rate(min(WARM_UP, size.bulk))
            await _urgent(measures, size, "latency_priority_1_idle", figures)
            await measures.send_bulk(size.bulk)
            await _urgent(measures, size, "latency_priority_1_backlog", figures)
            if not await measures.backlog():
                raise TooSlow("the backlog was gone before the last urgent send")


async def _urgent(measures: Measures, size: BacklogSize, name: str, figures: Figures) -> None:
    for _ in range(size.rounds):
        figures.add(name, [await measures.send_latency(URGENT) for _ in range(size.count)])
