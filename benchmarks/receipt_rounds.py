"""Receipts in a run of `make bench`: CPU time per receipt, in batches and one at a time, and receipts per second."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.clients import open_clients
from benchmarks.figures import Figures
from benchmarks.receipts import ALONE, IDLE_SECONDS, ReceiptMeasures
from benchmarks.stack import Servers


@dataclass(frozen=True, kw_only=True)
class ReceiptSize:
    """Per round: `count` receipts in batches, and `alone` that are posted one at a time."""

    count: int = 1_000
    alone: int = 100
    batch: int = 50
    idle_seconds: float = IDLE_SECONDS


@asynccontextmanager
async def receipt_measures(given: Servers, size: ReceiptSize) -> AsyncIterator[ReceiptMeasures]:
    async with open_clients(given) as clients:
        secret = given.env["TOCSIN_SECRET_KEY"].encode()
        measures = ReceiptMeasures(given, clients.http, clients.database, secret)
        await measures.prepare(size.idle_seconds)
        await measures.measure(size.batch, size.batch)
        yield measures


async def receipt_round(measures: ReceiptMeasures, size: ReceiptSize, figures: Figures) -> None:
    batched = await measures.measure(size.count, size.batch)
    figures.add("receipt_rate_batch", [batched.count / batched.seconds])
    figures.add("receipt_cpu_ms_batch", [batched.total])
    alone = await measures.measure(size.alone, 1, ALONE)
    figures.add("receipt_cpu_ms_single", [alone.total])
