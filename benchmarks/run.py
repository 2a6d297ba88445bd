"""Run rounds of interleaved pairs, so that a machine that slows down affects both halves of each pair."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import floor_eager
from benchmarks.accept import AcceptSize, start_accept_measures
from benchmarks.backlog import BacklogSize, measure_backlog
from benchmarks.clients import open_clients
from benchmarks.cpu import CpuMeter
from benchmarks.figures import Figures
from benchmarks.finished import FinishedRows, FinishedSize
from benchmarks.measures import SendMeasures
from benchmarks.profiles import record_profiles
from benchmarks.receipt_rounds import ReceiptSize, measure_receipt_round
from benchmarks.receipts import start_receipt_measures as receipt_measures
from benchmarks.servers import WORKER, BenchmarkServers, run_process, start_servers
from benchmarks.waiting import WaitingMeasures

WARM_UP = 10
REST_SECONDS = 0.05
PROCESSES = ("worker", "api", "temporal", "postgres")
FLOOR_PROCESSES = ("floor", "temporal")
FLOOR_CPU_FIGURES = {"floor": "cpu_ms_floor_worker", "temporal": "cpu_ms_floor_temporal"}


@dataclass(frozen=True, kw_only=True)
class RunSize:
    """`count` sends per rate and `idle` sends per latency, once per round."""

    rounds: int = 5
    count: int = 200
    idle: int = 15
    accept: AcceptSize = field(default_factory=AcceptSize)
    receipts: ReceiptSize = field(default_factory=ReceiptSize)
    bulk: int = 10_000
    alone_seconds: float = 6.0

    @property
    def backlog(self) -> BacklogSize:
        return BacklogSize(rounds=self.rounds, bulk=self.bulk, count=self.idle, alone_seconds=self.alone_seconds)


# Checks that everything works. Its figures are meaningless.
QUICK_SIZE = RunSize(
    rounds=1,
    count=4,
    idle=1,
    accept=AcceptSize(count=8, batches=1, items=8),
    receipts=ReceiptSize(count=4, single=1, batch=2, idle_seconds=0.1),
    bulk=60,
    alone_seconds=0.1,
)


@dataclass(frozen=True, kw_only=True)
class WaitingSize:
    """The number of waiting notifications, and the seconds for which each of the three states is measured."""

    count: int = 1_000
    seconds: float = 15.0


async def run(home: Path, size: RunSize, *, temporal: str = "", profiles: Path | None = None) -> Figures:
    """Run the rounds. `temporal` is the address of a server to use instead of the run's own; profiles go to
    `profiles`.
    """
    figures = Figures()
    async with start_servers(home, temporal) as servers:
        await _measure_sends(servers, size, figures, profiles)
        await _measure_acceptance(servers, size, figures, profiles)
        await _measure_receipts(servers, size, figures)
        await measure_backlog(servers, size.backlog, figures)
    return figures


async def run_waiting(home: Path, waiting_size: WaitingSize) -> Figures:
    """Measure the CPU, as a share of one core, of notifications that only wait."""
    figures = Figures()
    async with start_servers(home) as servers, open_clients(servers) as clients:
        await clients.prepare()
        async with run_process(servers, "worker", *WORKER):
            await SendMeasures(clients).batch_rate(WARM_UP)
            await WaitingMeasures(servers, clients).measure(waiting_size.count, waiting_size.seconds, figures)
    return figures


async def run_finished(home: Path, size: FinishedSize) -> Figures:
    """Measure the cost of sends and the plan of a search in a database with many finished notifications."""
    figures = Figures()
    async with start_servers(home) as servers, open_clients(servers) as clients:
        await clients.prepare()
        floor = run_process(
            servers, "floor", "-m", "benchmarks.floor", servers.places.temporal_address, ready="floor ready"
        )
        async with floor, run_process(servers, "worker", *WORKER):
            measures = SendMeasures(clients)
            await measures.floor_rate(WARM_UP)
            await measures.batch_rate(WARM_UP)
            await FinishedRows(servers, clients).measure(size, figures)
    return figures


async def _measure_sends(servers: BenchmarkServers, size: RunSize, figures: Figures, profiles: Path | None) -> None:
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(open_clients(servers))
        await clients.prepare()
        measures = SendMeasures(clients)
        for name, module in (("floor", "benchmarks.floor"), ("floor_eager", "benchmarks.floor_eager")):
            command = ("-m", module, servers.places.temporal_address)
            await stack.enter_async_context(run_process(servers, name, *command, ready="floor ready"))
        await stack.enter_async_context(run_process(servers, "worker", *WORKER))
        await _warm_up(measures)
        for _ in range(size.rounds):
            await _measure_send_round(servers, measures, size, figures)
        if profiles:
            async with record_profiles(servers, profiles, ("worker", "api"), "sends"):
                await measures.single_rate(size.count)


async def _measure_send_round(
    servers: BenchmarkServers, measures: SendMeasures, size: RunSize, figures: Figures
) -> None:
    meter = CpuMeter(servers.records, FLOOR_PROCESSES)
    figures.add("floor_rate", [await measures.floor_rate(size.count)])
    _add_cpu(figures, meter, size.count, FLOOR_CPU_FIGURES)
    figures.add("floor_eager_rate", [await measures.floor_rate(size.count, floor_eager.QUEUE)])
    figures.add("sent_rate_batch", [await measures.batch_rate(size.count)])
    meter = CpuMeter(servers.records, PROCESSES)
    figures.add("sent_rate_single", [await measures.single_rate(size.count)])
    _add_cpu(figures, meter, size.count, {name: f"cpu_ms_{name}" for name in PROCESSES})
    await _measure_idle(measures, size.idle, figures)


def _add_cpu(figures: Figures, meter: CpuMeter, count: int, names: dict[str, str]) -> None:
    for name, milliseconds in meter.milliseconds(count).items():
        figures.add(names[name], [milliseconds])


async def _measure_idle(measures: SendMeasures, count: int, figures: Figures) -> None:
    latencies: dict[str, list[float]] = {"floor_latency": [], "latency_priority_1": [], "latency_priority_3": []}
    for _ in range(count):
        latencies["floor_latency"].append(await _measure_then_rest(measures.floor_latency()))
        latencies["latency_priority_1"].append(await _measure_then_rest(measures.send_latency(1)))
        latencies["latency_priority_3"].append(await _measure_then_rest(measures.send_latency(3)))
    for name, values in latencies.items():
        figures.add(name, values)


async def _measure_then_rest(measure: Awaitable[float]) -> float:
    value = await measure
    await asyncio.sleep(REST_SECONDS)
    return value


async def _warm_up(measures: SendMeasures) -> None:
    await measures.floor_rate(WARM_UP)
    await measures.floor_rate(WARM_UP, floor_eager.QUEUE)
    await measures.batch_rate(WARM_UP)


async def _measure_acceptance(
    servers: BenchmarkServers, size: RunSize, figures: Figures, profiles: Path | None
) -> None:
    async with start_accept_measures(servers, size.accept) as measures:
        for _ in range(size.rounds):
            await measures.measure(figures)
        if profiles:
            async with record_profiles(servers, profiles, ("accept",), "accept"):
                await measures.measure(Figures())


async def _measure_receipts(servers: BenchmarkServers, size: RunSize, figures: Figures) -> None:
    async with receipt_measures(servers, size.receipts.idle_seconds) as measures:
        for _ in range(size.rounds):
            await measure_receipt_round(measures, size.receipts, figures)
