import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from embedded import account
from embedded.account import ServerAccount, find_postgres_account, nobody_account
from embedded.cluster import Cluster
from embedded.errors import StackError
from embedded.files import generate_secret
from embedded.ports import free_port
from embedded.postgres import Postgres, stop_orphan_postgres
from embedded.process_identity import identity, is_postgres_of
from embedded.processes import spawn_child
from embedded.supervisor import Supervisor
from embedded.temporary_servers import temporary_postgres
from tests.embedded.conftest import Eventually
from tests.polling import eventually as ready_again

pytestmark = pytest.mark.postgres


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory below one that other users cannot enter."""
    tmp_path.chmod(0o700)
    home = tmp_path / "data"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture(scope="module")
def cluster_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Create one cluster for the tests that only read its files."""
    home = tmp_path_factory.mktemp("cluster")
    Cluster(home).prepare()
    yield home
    shutil.rmtree(home)


async def connect(postgres: Postgres, password: str | None = None) -> asyncpg.Connection:
    dsn = postgres.url.replace("+asyncpg", "")
    return await asyncpg.connect(dsn, ssl=False, password=password or postgres.cluster.password)


async def fetch_value(postgres: Postgres, query: str) -> object:
    connection = await connect(postgres)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_postgres_starts_under_a_private_parent_and_keeps_its_rows(home: Path) -> None:
    async with temporary_postgres(home) as first:
        await fetch_value(first, "CREATE TABLE kept AS SELECT 7 AS n")
    async with temporary_postgres(home) as again:
        assert await fetch_value(again, "SELECT n FROM kept") == 7
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert home.parent.stat().st_mode & 0o777 == 0o700
    log = (home / "postgres.log").read_text()
    assert log.count("received fast shutdown request") == 2


def test_keys_of_the_caller_do_not_reach_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", "ours alone")
    monkeypatch.setenv("PGPASSWORD", "of another server")
    env = Postgres(cluster=Cluster.at(home), port=1, log=home / "log").child().env
    assert env is not None
    assert not {"TOCSIN_SECRET_KEY", "PGPASSWORD"} & {*env}


async def test_the_recorded_pid_is_the_postmaster_itself(home: Path) -> None:
    cluster = Cluster(home)
    cluster.prepare()
    postgres = Postgres(cluster=cluster, port=free_port(), log=home / "log")
    async with Supervisor(home) as supervisor:
        await supervisor.start(postgres.child())
        written = int((cluster.data / "postmaster.pid").read_text().split()[0])
        assert supervisor.pids["postgres"] == written
        assert is_postgres_of(written, cluster.data)
        assert not is_postgres_of(written, home)


async def test_the_server_requires_a_password_that_only_its_owner_can_read(home: Path) -> None:
    async with temporary_postgres(home) as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(postgres, password=generate_secret())
        assert postgres.cluster.password_file.stat().st_mode & 0o777 == 0o600
        assert await fetch_value(postgres, "SHOW unix_socket_directories") == ""
        assert await fetch_value(postgres, "SHOW listen_addresses") == "127.0.0.1"
        assert await fetch_value(postgres, "SELECT upper('äö')") == "ÄÖ"


async def test_neither_statements_nor_values_reach_the_log(home: Path) -> None:
    async with temporary_postgres(home) as postgres:
        connection = await connect(postgres)
        await connection.execute("CREATE TABLE people (email text UNIQUE)")
        await connection.execute("INSERT INTO people VALUES ('ada@example.com')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO people VALUES ($1)", "ada@example.com")
        await connection.close()
    log = (home / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "ada@example.com" not in log
    assert "INSERT" not in log


async def test_only_tests_run_without_fsync(home: Path) -> None:
    async with temporary_postgres(home) as postgres:
        assert await fetch_value(postgres, "SHOW fsync") == "off"
    async with temporary_postgres(home, durable=True) as postgres:
        assert await fetch_value(postgres, "SHOW fsync") == "on"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
async def test_root_runs_the_server_as_another_user_without_user_namespaces(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "user_namespace_account", lambda: ServerAccount(("false",), 0))
    async with temporary_postgres(home) as postgres:
        await fetch_value(postgres, "CREATE TABLE kept AS SELECT 7 AS n")
        assert postgres.cluster.data.stat().st_uid == nobody_account().uid
    monkeypatch.undo()
    async with temporary_postgres(home) as postgres:
        assert await fetch_value(postgres, "SELECT n FROM kept") == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_root_without_any_way_to_run_the_server_gets_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "user_namespace_account", lambda: ServerAccount(("false",), 0))
    monkeypatch.setattr(account, "nobody_account", lambda: ServerAccount(("no-such-program",), 65534))
    with pytest.raises(StackError, match="set TOCSIN_DATABASE_URL"):
        find_postgres_account(Path("/bin/true"))


def test_a_cluster_of_another_major_version_is_refused(cluster_home: Path) -> None:
    version = cluster_home / "postgres" / "PG_VERSION"
    mine = version.read_text()
    version.write_text("9\n")
    with pytest.raises(StackError, match=r"was made by Postgres 9, this is \d+"):
        Cluster(cluster_home).prepare()
    version.write_text(mine)
    Cluster(cluster_home).prepare()


def test_a_cluster_without_its_password_is_refused(cluster_home: Path) -> None:
    password = cluster_home / "postgres_password"
    kept = password.rename(cluster_home / "elsewhere")
    with pytest.raises(StackError, match="postgres_password is missing"):
        Cluster(cluster_home).prepare()
    kept.rename(password)


def test_a_directory_with_other_files_is_not_taken_for_a_cluster(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "letter").touch()
    with pytest.raises(StackError, match="has files but is not a Postgres cluster"):
        Cluster(home).prepare()
    assert (home / "postgres" / "letter").exists()


async def test_an_incomplete_cluster_of_a_killed_run_is_recreated(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    async with temporary_postgres(home) as postgres:
        assert await fetch_value(postgres, "SELECT 1") == 1


async def test_a_wrong_password_is_an_error_at_once(home: Path) -> None:
    Cluster(home).prepare()
    (home / "postgres_password").write_text("other\n")
    with pytest.raises(StackError, match="does not open the database"):
        async with temporary_postgres(home):
            pass


async def test_an_orphan_in_the_data_directory_is_stopped(home: Path, eventually: Eventually) -> None:
    cluster = Cluster(home)
    cluster.prepare()
    process = await spawn_child(Postgres(cluster=cluster, port=free_port(), log=home / "log", durable=False).child())
    try:
        lock = cluster.data / "postmaster.pid"
        await eventually(lambda: lock.exists() and "ready" in lock.read_text())
        assert await stop_orphan_postgres(cluster.data)
        assert await process.wait() == 0
        assert not await stop_orphan_postgres(cluster.data)
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_postgres_of_another_directory_is_not_touched(home: Path) -> None:
    async with temporary_postgres(home) as foreign:
        theirs = (foreign.cluster.data / "postmaster.pid").read_text()
        ours = home / "ours"
        ours.mkdir()
        (ours / "postmaster.pid").write_text(theirs)
        assert not await stop_orphan_postgres(ours)
        assert await fetch_value(foreign, "SELECT 1") == 1
        assert not (ours / "postmaster.pid").exists()


async def test_a_recycled_pid_neither_dies_nor_keeps_postgres_from_starting(home: Path) -> None:
    Cluster(home).prepare()
    sleeper = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(300)")
    try:
        (home / "postgres" / "postmaster.pid").write_text(f"{sleeper.pid}\n{home / 'postgres'}\n1\n1\n\n\n\n")
        assert not await stop_orphan_postgres(home / "postgres")
        assert identity(sleeper.pid)
        async with temporary_postgres(home) as postgres:
            assert await fetch_value(postgres, "SELECT 1") == 1
    finally:
        sleeper.kill()
        await sleeper.wait()


async def test_a_killed_postgres_restarts_on_its_port_with_its_rows(home: Path, eventually: Eventually) -> None:
    cluster = Cluster(home)
    cluster.prepare()
    postgres = Postgres(cluster=cluster, port=free_port(), log=home / "log")
    async with Supervisor(home, print_line=lambda _: None) as supervisor:
        await supervisor.start(postgres.child())
        await fetch_value(postgres, "CREATE TABLE kept AS SELECT 7 AS n")
        killed = supervisor.pids["postgres"]
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: supervisor.pids.get("postgres", killed) != killed)
        await ready_again(postgres.is_ready, bool)
        assert await fetch_value(postgres, "SELECT n FROM kept") == 7
