import asyncio
import os
import shutil
import signal
import stat
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from embedded.datadir import DataDir
from embedded.environment import StackAddresses, StackSecrets, child_environment, metrics_settings, worker_environment
from embedded.errors import StackError
from embedded.process_identity import command_line_of, identity
from embedded.readiness import responds_ok
from embedded.runfile import RunInfo
from embedded.server_processes import stop_order
from embedded.stack import CHECKOUT, Stack
from tests.embedded.conftest import SLEEPER, Eventually

# Replaces the API: responds to every GET after writing its environment where the test can read it.
API = """
import http.server, json, os
from pathlib import Path
Path(os.environ["TOCSIN_DATA_DIR"], "env.json").write_text(json.dumps(dict(os.environ)))
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["TOCSIN_API_PORT"])), Page).serve_forever()
"""
# The steps of `make run`, with the replacements.
MAKE_RUN = f"""
import asyncio, sys
from pathlib import Path
from config import Settings
from embedded.stack import Stack
async def main():
    async def migrate(url): print("migrate", flush=True)
    async def after(address, database_url): print("temporal", flush=True)
    async def greet(info): print("greet", flush=True)
    settings = Settings(env="dev", data_dir=Path(sys.argv[1]), api_port=0, postgres_port=0, temporal_port=0,
                        temporal_ui_port=0, workers=2)
    await Stack(settings, migrate=migrate, after_temporal_start=after, greet=greet,
                api=(sys.executable, "-c", {API!r}), worker=(sys.executable, "-c", {SLEEPER!r})).run()
    print("stopped", flush=True)
asyncio.run(main())
"""

MINE = "a secret of the user's own"
EVERYWHERE = "0.0.0.0"


class EmbeddedRun:
    """Hold one `make run` in its own process."""

    def __init__(self, process: Process, root: Path) -> None:
        self.process = process
        self.root = root

    async def wait_for_line(self, word: str) -> list[str]:
        """Return the output up to the line that starts with `word`."""
        lines: list[str] = []
        assert self.process.stdout
        async with asyncio.timeout(240):
            while not lines or not lines[-1].startswith(word):
                line = await self.process.stdout.readline()
                assert line, f"ended early: {lines}"
                lines.append(line.decode().strip())
        return lines

    @property
    def info(self) -> RunInfo:
        return RunInfo.read(self.root / "run.json")

    @property
    def pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.info.pids.items() if pid}


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


def settings_for(tmp_path: Path, **given: Any) -> Settings:
    return Settings(_env_file=None, env="dev", data_dir=tmp_path, **given)


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


def test_further_processes_of_a_part_stop_with_it() -> None:
    assert stop_order(["worker-3", "postgres", "worker-2"]) == [
        *("api", "worker", "worker-2", "worker-3", "temporal", "postgres")
    ]


def test_an_api_that_listens_everywhere_is_reached_on_loopback(tmp_path: Path) -> None:
    env = environment(tmp_path, api_host=EVERYWHERE)
    assert env["TOCSIN_API_HOST"] == EVERYWHERE
    assert env["TOCSIN_PUBLIC_URL"] == "http://127.0.0.1:8001"
