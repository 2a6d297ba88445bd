"""Test the cost of sends with many finished notifications, and the plan of a search by status there."""

from pathlib import Path

import pytest

from benchmarks.clients import open_clients
from benchmarks.finished import FinishedRows, FinishedSize, compute_finished_ratios, count_pages_read, list_node_types
from benchmarks.run import run_finished
from benchmarks.servers import start_servers

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]


async def test_a_status_search_reads_few_index_pages_at_a_million_rows(tmp_path: Path) -> None:
    async with start_servers(tmp_path) as servers, open_clients(servers) as clients:
        await clients.prepare()
        rows = FinishedRows(servers, clients)
        await rows.insert_rows(1_000_000)
        plan = await rows.search_plan()
    assert "Index Scan" in set(list_node_types(plan)), plan
    assert not {"Seq Scan", "Sort"} & set(list_node_types(plan)), plan
    assert count_pages_read(plan) < 500


async def test_the_last_sends_behind_a_million_rows_cost_the_same(tmp_path: Path) -> None:
    figures = await run_finished(tmp_path, FinishedSize())
    assert compute_finished_ratios(figures)["last_sends_vs_first"] <= 1.1, figures.summary()
