"""What sends cost behind many finished notifications, and how a search by status reads there."""

from pathlib import Path

import pytest

from benchmarks.clients import open_clients
from benchmarks.finished import FinishedRows, FinishedSize, buffers, finished_ratios, scans
from benchmarks.run import run_finished
from benchmarks.stack import servers

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]


async def test_a_status_search_reads_an_index_and_few_pages_at_a_million_rows(tmp_path: Path) -> None:
    async with servers(tmp_path) as given, open_clients(given) as clients:
        await clients.prepare()
        rows = FinishedRows(given, clients)
        await rows.fill(1_000_000)
        plan = await rows.search_plan()
    assert "Index Scan" in set(scans(plan)), plan
    assert not {"Seq Scan", "Sort"} & set(scans(plan)), plan
    assert buffers(plan) < 500


async def test_the_last_sends_behind_a_million_rows_cost_what_the_first_cost(tmp_path: Path) -> None:
    figures = await run_finished(tmp_path, FinishedSize())
    assert finished_ratios(figures)["last_sends_vs_first"] <= 1.1, figures.summary()
