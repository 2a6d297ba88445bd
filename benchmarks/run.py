"""One run: rounds of interleaved pairs, so that a machine that slows down meanwhile slows both halves of each pair."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.measures import Measures, connect
from benchmarks.stack import WORKER, Servers, servers, worker
from benchmarks.waiting import Waiting

WARM_UP = 10
BETWEEN_SENDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much: `count` per rate, `idle` sends per latency, both once per round."""

    rounds: int = 5
    count: int = 200
    idle: int = 15


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How many notifications wait, and for how many seconds each of the three states is watched."""

    count: int = 1_000
    seconds: float = 15.0


async def run(home: Path, size: Size) -> Figures:
    figures = Figures()
    async with AsyncExitStack() as stack:
        given = await stack.enter_async_context(servers(home))
        http, temporal, database = await connect(given)
        stack.push_async_callback(http.aclose)
        stack.push_async_callback(database.close)
        measures = Measures(http, temporal, database)
        await measures.prepare()
        floor = ("-m", "benchmarks.floor", given.places.temporal_address)
        await stack.enter_async_context(worker(given, "floor", *floor, ready="floor ready"))
        await _floor_rounds(given, measures, size, figures)
    return figures


async def run_waiting(home: Path, wait: Wait) -> Figures:
    """What those cost that only wait: CPU, as a share of one core."""
    figures = Figures()
    async with AsyncExitStack() as stack:
        given = await stack.enter_async_context(servers(home))
        http, temporal, database = await connect(given)
        stack.push_async_callback(http.aclose)
        stack.push_async_callback(database.close)
        measures = Measures(http, temporal, database)
        await measures.prepare()
        await stack.enter_async_context(worker(given, "worker", *WORKER))
        await measures.batch_rates(WARM_UP)
        await Waiting(given, http, database).measure(wait.count, wait.seconds, figures)
    return figures


async def _floor_rounds(given: Servers, measures: Measures, size: Size, figures: Figures) -> None:
    async with worker(given, "worker", *WORKER):
        await _warm_up(measures)
        for _ in range(size.rounds):
            figures.add("floor_rate", [await measures.floor_rate(size.count)])
            accepted, sent = await measures.batch_rates(size.count)
            figures.add("accept_rate_batch", [accepted])
            figures.add("sent_rate_batch", [sent])
            accepted, sent = await measures.single_rates(size.count)
            figures.add("accept_rate_single", [accepted])
            figures.add("sent_rate_single", [sent])
            await _idle(measures, size.idle, figures)


async def _idle(measures: Measures, count: int, figures: Figures) -> None:
    floor: list[float] = []
    urgent: list[float] = []
    normal: list[float] = []
    for _ in range(count):
        for values, measure in (
            (floor, measures.floor_latency()),
            (urgent, measures.send_latency(1)),
            (normal, measures.send_latency(3)),
        ):
            values.append(await measure)
            await asyncio.sleep(BETWEEN_SENDS)
    figures.add("floor_latency", floor)
    figures.add("latency_priority_1", urgent)
    figures.add("latency_priority_3", normal)


async def _warm_up(measures: Measures) -> None:
    await measures.floor_rate(WARM_UP)
    await measures.batch_rates(WARM_UP)
