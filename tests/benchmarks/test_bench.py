"""`make bench` in small: the whole way once, and the arithmetic of its figures."""

from pathlib import Path

import pytest

from benchmarks.__main__ import report, write
from benchmarks.figures import BESIDE, Figures
from benchmarks.run import Size, run


def test_a_ratio_compares_within_a_round_and_the_median_sums_up() -> None:
    figures = Figures()
    for floor, sent in ((100.0, 50.0), (10.0, 5.0), (100.0, 80.0)):
        figures.add("floor_rate", [floor])
        figures.add("sent_rate_batch", [sent])
    assert figures.ratios("sent_rate_batch") == [0.5, 0.5, 0.8]
    assert figures.summary()["sent_rate_batch"]["median_ratio"] == 0.5


def test_a_result_is_a_file_that_names_the_machine_and_the_size(tmp_path: Path) -> None:
    figures = Figures()
    figures.add("floor_latency", [0.02, 0.03])
    path = write(tmp_path / "results", report(figures, Size(rounds=1, count=2, idle=2)))
    assert '"cpus"' in path.read_text()
    assert "25 ms" in figures.table()


@pytest.mark.postgres
@pytest.mark.temporal
async def test_a_tiny_run_measures_everything_beside_its_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pool in ("EMAIL", "SMS", "PUSH", "WEB_PUSH", "WEBHOOK"):
        monkeypatch.setenv(f"TOCSIN_{pool}_PROVIDERS", "sandbox")
    figures = await run(tmp_path, Size(rounds=1, count=4, idle=1))
    summary = figures.summary()
    elsewhere = {name for name in (*BESIDE, *BESIDE.values()) if name.startswith("cpu_")}
    assert set(summary) >= {*BESIDE, *BESIDE.values()} - elsewhere
    assert all(one["median"] > 0 for one in summary.values())
