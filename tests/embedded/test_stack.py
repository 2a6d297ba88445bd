"""Test `make run`: its processes start in order, survive kills and leave no orphans, and a folder has one run."""

import asyncio
import os
import shutil
import signal
import stat
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from embedded.datadir import DataDir
from embedded.errors import StackError
from embedded.process_identity import command_line_of, identity
from embedded.readiness import responds_ok
from embedded.server_processes import stop_order
from embedded.stack import CHECKOUT, Stack
from tests.embedded.conftest import SLEEPER, Eventually, settings_for
from tests.embedded.embedded_runs import API, MAKE_RUN, EmbeddedRun


@pytest.fixture
async def runs(tmp_path: Path) -> AsyncIterator[Any]:
    started: list[EmbeddedRun] = []

    async def make_run(path: str = os.environ["PATH"]) -> EmbeddedRun:
        data = tmp_path / "data"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MAKE_RUN, str(data)), stdout=PIPE, cwd=CHECKOUT, env={**os.environ, "PATH": path}
        )
        started.append(EmbeddedRun(process, data))
        return started[-1]

    yield make_run
    for run in started:
        if run.process.returncode is None:
            run.process.terminate()
            await run.process.communicate()


async def no_hook(*_: object) -> None:
    """Provide a hook without effect."""


@pytest.mark.postgres
@pytest.mark.temporal
async def test_all_processes_start_in_order_and_stop_within_15_seconds(runs: Any) -> None:
    run = await runs()
    assert await run.wait_for_line("greet") == ["migrate", "temporal", "greet"]
    info = run.info
    assert stat.S_IMODE((run.root / "run.json").stat().st_mode) == 0o600
    assert await responds_ok("127.0.0.1", int(info.api_url.rpartition(":")[2]), "/readyz")
    assert len(set(info.worker_metrics_urls)) == 2
    assert set(run.pids) == {"api", "worker", "worker-2", "temporal", "postgres"}
    assert Path(command_line_of(run.pids["postgres"])[0]).name == "postgres"
    assert Path(command_line_of(run.pids["temporal"])[0]).name == "temporal"
    pids = run.pids
    started = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    await run.wait_for_line("stopping")
    run.process.send_signal(signal.SIGINT)
    await run.wait_for_line("stopped")
    assert await run.process.wait() == 0
    assert time.monotonic() - started < 30  # 15 s on an idle machine
    assert [name for name, pid in pids.items() if identity(pid)] == []
    assert not (run.root / "run.json").exists()


@pytest.mark.postgres
@pytest.mark.temporal
async def test_a_run_after_kill_9_serves_the_same_data(runs: Any) -> None:
    first = await runs()
    await first.wait_for_line("greet")
    pids, key, url = first.pids, first.info.api_key, first.info.database_url
    first.process.kill()
    await first.process.wait()
    second = await runs()
    await second.wait_for_line("greet")
    assert [name for name, pid in pids.items() if identity(pid)] == []
    assert second.info.api_key == key
    assert second.info.database_url.partition("@")[0] == url.partition("@")[0]


@pytest.mark.postgres
@pytest.mark.temporal
async def test_orphans_that_no_death_signal_reached_are_stopped_by_the_next_run(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "unshare").symlink_to(shutil.which("unshare") or "/bin/false")
    first = await runs(path=str(tmp_path / "bin"))  # it contains no setpriv
    await first.wait_for_line("greet")
    pids = first.pids
    first.process.kill()
    await first.process.wait()
    assert all(identity(pid) for pid in pids.values())
    second = await runs()
    assert "api, worker, worker-2, temporal, postgres" in (await second.wait_for_line("greet"))[0]
    assert [name for name, pid in pids.items() if identity(pid)] == []


@pytest.mark.postgres
@pytest.mark.temporal
async def test_a_restarted_process_is_in_the_run_file_and_temporal_is_prepared(
    runs: Any, eventually: Eventually
) -> None:
    run = await runs()
    await run.wait_for_line("greet")
    before = run.info
    for name in ("worker", "temporal"):
        os.kill(run.pids[name], signal.SIGKILL)
    assert len(await run.wait_for_line("temporal")) <= 3
    await run.wait_for_line("temporal")
    await eventually(lambda: all(run.pids[name] != before.pids[name] for name in ("worker", "temporal")))
    assert run.info.temporal_address == before.temporal_address
    assert run.pids["postgres"] == before.pids["postgres"]


@pytest.mark.postgres
@pytest.mark.temporal
async def test_a_second_run_in_the_same_directory_is_refused(runs: Any) -> None:
    run = await runs()
    await run.wait_for_line("greet")
    with pytest.raises(StackError, match=f"already running in .*pid {run.process.pid}"):
        await Stack(
            settings_for(run.root, api_port=0), migrate=no_hook, after_temporal_start=no_hook, greet=no_hook
        ).run()
    assert run.info.api_url


async def test_parts_that_are_given_are_not_started(tmp_path: Path) -> None:
    seen: list[str] = []

    async def migrate(url: str) -> None:
        seen.append(url)

    async def after(address: str, database_url: str | None) -> None:
        assert database_url is None  # another store may have the workflows of that database
        seen.append(address)

    settings = settings_for(tmp_path, api_port=0, database_url="postgresql+asyncpg://db/x", temporal_address="t:7233")
    stack = Stack(
        settings,
        migrate=migrate,
        after_temporal_start=after,
        greet=no_hook,
        api=(sys.executable, "-c", API),
        worker=(sys.executable, "-c", SLEEPER),
    )
    async with stack:
        assert seen == ["postgresql+asyncpg://db/x", "t:7233"]
        assert stack.info
        assert stack.info.pids["postgres"] is None
        assert stack.info.pids["temporal"] is None
        assert stack.info.pids["api"]
    assert stack.info is None


async def test_a_failing_migration_stops_the_start_and_gives_the_directory_back(tmp_path: Path) -> None:
    async def migrate(_: str) -> None:
        raise StackError("no such revision")

    settings = settings_for(tmp_path, api_port=0, database_url="postgresql+asyncpg://db/x", temporal_address="t:7233")
    with pytest.raises(StackError, match="no such revision"):
        await Stack(settings, migrate=migrate, after_temporal_start=no_hook, greet=no_hook).run()
    with DataDir.at(tmp_path).hold_lock():
        assert not (tmp_path / "run.json").exists()


def test_further_processes_of_a_part_stop_with_it() -> None:
    assert stop_order(["worker-3", "postgres", "worker-2"]) == [
        *("api", "worker", "worker-2", "worker-3", "temporal", "postgres")
    ]
