"""Test how many worker processes a machine has, and the share of each in the limits of the machine."""

import os
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from supervision import worker_shares
from supervision.worker_shares import available_cores, settings_of_one_worker, worker_count


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)]
)
def test_the_cores_are_those_of_the_container(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(worker_shares, "CPU_QUOTA_FILE", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert available_cores() == cores


@pytest.mark.parametrize(("given", "count"), [({}, 8), ({"workers": 3}, 3), ({"database_pool": 20}, 5)])
def test_workers_are_as_many_as_cores_or_as_set(
    given: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_shares, "available_cores", lambda: 8)
    assert worker_count(Settings(env="dev", _env_file=None, **given)) == count


def test_worker_processes_share_the_connections() -> None:
    settings = settings_of_one_worker(Settings(env="dev", database_pool=41, _env_file=None), 4)
    assert (settings.workers, settings.database_pool) == (1, 10)


@pytest.mark.parametrize(("slots", "workers", "share"), [(0, 1, 0), (0, 2, 3), (12, 2, 6), (12, 1, 12), (2, 4, 2)])
def test_worker_processes_share_the_slots(slots: int, workers: int, share: int) -> None:
    settings = Settings(env="dev", slots=slots, _env_file=None)
    assert settings_of_one_worker(settings, workers).slots == share
