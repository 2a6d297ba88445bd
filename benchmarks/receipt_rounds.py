"""Measure receipts in a run of `make bench`: CPU time per receipt, in batches and one at a time, and receipts per
second.
"""

from dataclasses import dataclass

from benchmarks.figures import Figures
from benchmarks.receipts import BATCH_COUNT, BATCH_SIZE, IDLE_SECONDS, SINGLE_COUNT, SINGLE_PAUSE, ReceiptMeasures


@dataclass(frozen=True, kw_only=True)
class ReceiptSize:
    """Per round: `count` receipts in batches, and `alone` receipts posted one at a time."""

    count: int = BATCH_COUNT
    single: int = SINGLE_COUNT
    batch: int = BATCH_SIZE
    idle_seconds: float = IDLE_SECONDS


async def measure_receipt_round(measures: ReceiptMeasures, size: ReceiptSize, figures: Figures) -> None:
    batched = await measures.measure(size.count, size.batch)
    figures.add("receipt_rate_batch", [batched.count / batched.seconds])
    figures.add("receipt_cpu_ms_batch", [batched.total])
    single = await measures.measure(size.single, 1, SINGLE_PAUSE)
    figures.add("receipt_cpu_ms_single", [single.total])
