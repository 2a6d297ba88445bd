"""Test `make bench` in small: one complete run, and the calculation of its figures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import arguments, build_report, main, parse_size, write_results
from benchmarks.figures import BASELINES, Figures
from benchmarks.ratios import compute_ratios
from benchmarks.run import QUICK_SIZE, RunSize, WaitingSize, run

ROUND = {
    "floor_rate": [10.0],
    "sent_rate_single": [8.0],
    "sent_rate_batch": [9.0],
    "bare_rate": [1000.0],
    "accept_rate_single": [500.0],
    "accept_rate_batch": [6000.0],
    "latency_priority_1_idle": [0.1, 0.1],
    "latency_priority_1_backlog": [0.2, 0.2],
    "bulk_rate_alone": [20.0],
    "bulk_rate_with_urgent": [15.0],
    "receipt_cpu_ms_batch": [3.0],
    "receipt_cpu_ms_single": [7.0],
    "cpu_ms_floor_worker": [10.0],
    "cpu_ms_worker": [15.0],
    "cpu_ms_api": [3.0],
    "cpu_ms_postgres": [4.0],
}


def test_a_ratio_compares_within_a_round_and_the_median_sums_up() -> None:
    figures = Figures()
    for floor, sent in ((100.0, 50.0), (10.0, 5.0), (100.0, 80.0)):
        figures.add("floor_rate", [floor])
        figures.add("sent_rate_batch", [sent])
    assert figures.ratios("sent_rate_batch") == [0.5, 0.5, 0.8]
    assert figures.summary()["sent_rate_batch"]["median_ratio"] == 0.5


def test_ratios_are_computed_from_the_figures_of_a_run() -> None:
    figures = Figures()
    for name, values in ROUND.items():
        figures.add(name, values)
    assert compute_ratios(figures) == {
        "single_vs_floor": 0.8,
        "batch_vs_floor": 0.9,
        "accept_vs_insert": 0.5,
        "batch_accept_vs_insert": 6.0,
        "priority_p95_backlog_vs_idle": 2.0,
        "bulk_rate_with_urgent_vs_alone": 0.75,
        "receipt_cpu_ms": 3.0,
        "receipt_cpu_ms_single": 7.0,
        "send_cpu_vs_floor_worker": 2.2,
    }


def test_a_result_is_a_file_that_names_the_machine_and_the_size(tmp_path: Path) -> None:
    figures = Figures()
    figures.add("floor_latency", [0.02, 0.03])
    path = write_results(tmp_path / "results", build_report(figures, WaitingSize(count=1, seconds=1)))
    assert '"cpus"' in path.read_text()
    assert "25 ms" in figures.table()


def test_options_replace_the_default_size_up_to_its_limit() -> None:
    assert parse_size(arguments([])) == RunSize()
    assert parse_size(arguments(["--quick", "--rounds", "2"])) == replace(QUICK_SIZE, rounds=2)
    assert parse_size(arguments(["--count", "5000"])).count == 1000


def test_a_profile_without_py_spy_ends_before_the_run_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--profile", str(tmp_path / "profiles")]) == 2
    assert "py-spy is not installed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.temporal
async def test_a_quick_run_measures_everything_with_its_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pool in ("EMAIL", "SMS", "PUSH", "WEB_PUSH", "WEBHOOK", "CHAT"):
        monkeypatch.setenv(f"TOCSIN_{pool}_PROVIDERS", "sandbox")
    figures = await run(tmp_path, QUICK_SIZE)
    waiting = {name for name in (*BASELINES, *BASELINES.values()) if name.startswith("cpu_")}
    assert set(figures.summary()) >= ({*BASELINES, *BASELINES.values()} - waiting) | set(ROUND)
    rates = [one for name, one in figures.summary().items() if "rate" in name or "latency" in name]
    assert all(one["median"] > 0 for one in rates)
    assert json.loads(write_results(tmp_path / "results", build_report(figures, QUICK_SIZE)).read_text())[
        "ratios"
    ] == compute_ratios(figures)
