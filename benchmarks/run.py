"""One run: rounds of interleaved pairs, so that a machine that slows down meanwhile slows both halves of each pair."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import floor_eager
from benchmarks.accept import AcceptSize, accept_measures
from benchmarks.backlog import BacklogSize, measure_backlog
from benchmarks.clients import open_clients
from benchmarks.cpu import CpuMeter
from benchmarks.figures import Figures
from benchmarks.finished import FinishedRows, FinishedSize
from benchmarks.measures import Measures
from benchmarks.profiles import profiled
from benchmarks.receipt_rounds import ReceiptSize, receipt_round
from benchmarks.receipts import measures as receipt_measures
from benchmarks.stack import WORKER, Servers, servers, worker
from benchmarks.waiting import Waiting

WARM_UP = 10
BETWEEN_SENDS = 0.05
PROCESSES = ("worker", "api", "temporal", "postgres")
FLOOR_PROCESSES = ("floor", "temporal")
CPU_NAMES = {"floor": "cpu_ms_floor_worker", "temporal": "cpu_ms_floor_temporal"}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much: `count` per rate, `idle` sends per latency, all of it once per round."""

    rounds: int = 5
    count: int = 200
    idle: int = 15
    accept: AcceptSize = field(default_factory=AcceptSize)
    receipts: ReceiptSize = field(default_factory=ReceiptSize)
    bulk: int = 10_000
    undisturbed: float = 10.0

    @property
    def backlog(self) -> BacklogSize:
        return BacklogSize(rounds=self.rounds, bulk=self.bulk, count=self.idle, undisturbed=self.undisturbed)


# Shows that everything works. Its figures mean nothing.
QUICK = Size(
    rounds=1,
    count=4,
    idle=1,
    accept=AcceptSize(count=8, batches=1, items=8),
    receipts=ReceiptSize(count=4, alone=1, batch=2, idle_seconds=0.1),
    bulk=60,
    undisturbed=0.1,
)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How many notifications wait, and for how many seconds each of the three states is watched."""

    count: int = 1_000
    seconds: float = 15.0


async def run(home: Path, size: Size, *, temporal: str = "", profiles: Path | None = None) -> Figures:
    """`temporal` is the address of a server that takes the place of the run's own; profiles go to that directory."""
    figures = Figures()
    async with servers(home, temporal) as given:
        await _sends(given, size, figures, profiles)
        await _acceptance(given, size, figures, profiles)
        await _receipts(given, size, figures)
        await measure_backlog(given, size.backlog, figures)
    return figures


async def run_waiting(home: Path, wait: Wait) -> Figures:
    """What those cost that only wait: CPU, as a share of one core."""
    figures = Figures()
    async with servers(home) as given, open_clients(given) as clients:
        await clients.prepare()
        async with worker(given, "worker", *WORKER):
            await Measures(clients).batch_rate(WARM_UP)
            await Waiting(given, clients).measure(wait.count, wait.seconds, figures)
    return figures


async def run_finished(home: Path, size: FinishedSize) -> Figures:
    """What sends cost, and how a search reads, in a database with many finished notifications."""
    figures = Figures()
    async with servers(home) as given, open_clients(given) as clients:
        await clients.prepare()
        floor = worker(given, "floor", "-m", "benchmarks.floor", given.places.temporal_address, ready="floor ready")
        async with floor, worker(given, "worker", *WORKER):
            measures = Measures(clients)
            await measures.floor_rate(WARM_UP)
            await measures.batch_rate(WARM_UP)
            await FinishedRows(given, clients).measure(size, figures)
    return figures


async def _sends(given: Servers, size: Size, figures: Figures, profiles: Path | None) -> None:
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(open_clients(given))
        await clients.prepare()
        measures = Measures(clients)
        for name, module in (("floor", "benchmarks.floor"), ("floor_eager", "benchmarks.floor_eager")):
            command = ("-m", module, given.places.temporal_address)
            await stack.enter_async_context(worker(given, name, *command, ready="floor ready"))
        await stack.enter_async_context(worker(given, "worker", *WORKER))
        await _warm_up(measures)
        for _ in range(size.rounds):
            await _send_round(given, measures, size, figures)
        if profiles:
            async with profiled(given, profiles, ("worker", "api"), "sends"):
                await measures.single_rate(size.count)


async def _send_round(given: Servers, measures: Measures, size: Size, figures: Figures) -> None:
    meter = CpuMeter(given.records, FLOOR_PROCESSES)
    figures.add("floor_rate", [await measures.floor_rate(size.count)])
    _add_cpu(figures, meter, size.count, CPU_NAMES)
    figures.add("floor_eager_rate", [await measures.floor_rate(size.count, floor_eager.QUEUE)])
    figures.add("sent_rate_batch", [await measures.batch_rate(size.count)])
    meter = CpuMeter(given.records, PROCESSES)
    figures.add("sent_rate_single", [await measures.single_rate(size.count)])
    _add_cpu(figures, meter, size.count, {name: f"cpu_ms_{name}" for name in PROCESSES})
    await _idle(measures, size.idle, figures)


def _add_cpu(figures: Figures, meter: CpuMeter, count: int, names: dict[str, str]) -> None:
    for name, milliseconds in meter.milliseconds(count).items():
        figures.add(names[name], [milliseconds])


async def _idle(measures: Measures, count: int, figures: Figures) -> None:
    latencies: dict[str, list[float]] = {"floor_latency": [], "latency_priority_1": [], "latency_priority_3": []}
    for _ in range(count):
        latencies["floor_latency"].append(await _then_rest(measures.floor_latency()))
        latencies["latency_priority_1"].append(await _then_rest(measures.send_latency(1)))
        latencies["latency_priority_3"].append(await _then_rest(measures.send_latency(3)))
    for name, values in latencies.items():
        figures.add(name, values)


async def _then_rest(measure: Awaitable[float]) -> float:
    value = await measure
    await asyncio.sleep(BETWEEN_SENDS)
    return value


async def _warm_up(measures: Measures) -> None:
    await measures.floor_rate(WARM_UP)
    await measures.floor_rate(WARM_UP, floor_eager.QUEUE)
    await measures.batch_rate(WARM_UP)


async def _acceptance(given: Servers, size: Size, figures: Figures, profiles: Path | None) -> None:
    async with accept_measures(given, size.accept) as measures:
        for _ in range(size.rounds):
            await measures.measure(figures)
        if profiles:
            async with profiled(given, profiles, ("accept",), "accept"):
                await measures.measure(Figures())


async def _receipts(given: Servers, size: Size, figures: Figures) -> None:
    async with receipt_measures(given, size.receipts.idle_seconds) as measures:
        for _ in range(size.rounds):
            await receipt_round(measures, size.receipts, figures)
