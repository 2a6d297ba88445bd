"""Test which settings the processes of `make run` get: those of the run, those of the user, and no foreign keys."""

import os
from pathlib import Path
from typing import Any

import pytest

from embedded.datadir import DataDir
from embedded.environment import StackAddresses, StackSecrets, child_environment, metrics_settings, worker_environment
from tests.embedded.conftest import settings_for

MINE = "a secret of the user's own"
EVERYWHERE = "0.0.0.0"


def environment(tmp_path: Path, **given: Any) -> dict[str, str]:
    settings = settings_for(tmp_path, **given)
    data_dir = DataDir.at(tmp_path)
    places = StackAddresses(
        database_url="postgresql+asyncpg://db/x",
        temporal_address="127.0.0.1:7233",
        temporal_ui_url="",
        api_host=settings.api_host,
        api_port=8001,
    )
    return child_environment(settings, data_dir, places, StackSecrets.of(settings, data_dir))


def test_children_get_the_settings_of_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_API_PORT", "0")
    env = environment(tmp_path)
    assert env["TOCSIN_API_PORT"] == "8001"
    assert env["TOCSIN_ENV"] == "dev"
    assert env["TOCSIN_PUBLIC_URL"] == "http://127.0.0.1:8001"
    assert env["TOCSIN_DRAIN_TIMEOUT"] == "8"
    for name, file in (
        ("DEV_API_KEY", "api_key"),
        ("ENCRYPTION_KEYS", "encryption_keys"),
        ("LOOKUP_KEY", "lookup_key"),
    ):
        assert env[f"TOCSIN_{name}"] == (tmp_path / file).read_text().strip()
        assert (tmp_path / file).stat().st_mode & 0o077 == 0
    assert env["PATH"] == os.environ["PATH"]


def test_children_inherit_no_keys_of_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of another program")
    monkeypatch.setenv("TOCSIN_SENDGRID_API_KEY", "ours")
    env = environment(tmp_path)
    assert "AWS_SECRET_ACCESS_KEY" not in env
    assert env["TOCSIN_SENDGRID_API_KEY"] == "ours"


def test_settings_of_the_user_are_passed_on(tmp_path: Path) -> None:
    env = environment(
        tmp_path,
        drain_timeout=3,
        public_url="https://hooks.example.com",
        dev_api_key="tk_dev_mine",
        secret_key=MINE,
    )
    assert env["TOCSIN_DRAIN_TIMEOUT"] == "3"
    assert env["TOCSIN_PUBLIC_URL"] == "https://hooks.example.com"
    assert (env["TOCSIN_DEV_API_KEY"], env["TOCSIN_SECRET_KEY"]) == ("tk_dev_mine", MINE)
    assert not (tmp_path / "api_key").exists()


def test_each_worker_process_gets_a_share_of_the_connections(tmp_path: Path) -> None:
    env = worker_environment(settings_for(tmp_path, database_pool=30, slots=12, start_rate=6), 3, 9465)
    share = {"SLOTS": "4", "START_RATE": "2", "METRICS_PORT": "9465"}
    assert env == {"TOCSIN_WORKERS": "1", "TOCSIN_DATABASE_POOL": "10"} | {f"TOCSIN_{k}": v for k, v in share.items()}


@pytest.mark.parametrize(("workers", "slots"), [(1, "0"), (2, "3")])
def test_several_worker_processes_have_fewer_slots_by_default(workers: int, slots: str, tmp_path: Path) -> None:
    assert worker_environment(settings_for(tmp_path), workers, 9465)["TOCSIN_SLOTS"] == slots


def test_the_first_worker_uses_the_configured_metrics_port(tmp_path: Path) -> None:
    assert list(metrics_settings(settings_for(tmp_path, metrics_port=9999), 3).values()) == [9999, 0, 0]
    assert list(metrics_settings(settings_for(tmp_path), 2).values()) == [0, 0]


def test_an_api_that_listens_everywhere_is_reached_on_loopback(tmp_path: Path) -> None:
    env = environment(tmp_path, api_host=EVERYWHERE)
    assert env["TOCSIN_API_HOST"] == EVERYWHERE
    assert env["TOCSIN_PUBLIC_URL"] == "http://127.0.0.1:8001"
