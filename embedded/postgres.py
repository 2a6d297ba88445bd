"""The embedded Postgres: our own cluster, served on a loopback port."""

import signal
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from config import Settings
from embedded.cluster import SUPERUSER, Cluster
from embedded.environment import server_environment
from embedded.errors import StackError
from embedded.identity import identity, is_postgres_of
from embedded.orphans import Record, stop_process
from embedded.processes import Child, tethered

DATABASE = "tocsin"
ORPHAN_GRACE = 10.0

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    # Statements, parameters and the detail of errors hold names, addresses and messages: not for a log.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


FEWEST_CONNECTIONS = 200
# Beside the pools: each process listens on one, and people look in by psql.
OTHER_CONNECTIONS = 60


def connections(settings: Settings) -> int:
    """How many connections the API, the workers and those who look in may open together."""
    return max(FEWEST_CONNECTIONS, 2 * settings.database_pool + OTHER_CONNECTIONS)


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """`cluster` on `port`; `durable=False` trades fsync for speed, for tests only."""

    cluster: Cluster
    port: int
    log: Path
    durable: bool = True
    connections: int = FEWEST_CONNECTIONS

    @property
    def url(self) -> str:
        """For SQLAlchemy; holds the password."""
        return f"postgresql+asyncpg://{SUPERUSER}:{self.cluster.password}@127.0.0.1:{self.port}/{DATABASE}"

    def child(self) -> Child:
        options = SETTINGS | {
            "port": str(self.port),
            "fsync": "on" if self.durable else "off",
            "max_connections": str(self.connections),
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        server = [str(self.cluster.binaries / "postgres"), "-D", str(self.cluster.data), *flags]
        return Child(
            name="postgres",
            # The change of account would cut the tether, so that comes after it.
            argv=[*self.cluster.account.prefix, *tethered(server, signal.SIGINT)],
            log=self.log,
            cwd=self.cluster.home,
            env=server_environment(),
            ready=self.is_ready,
            stop_signal=signal.SIGINT,  # "fast": it does not wait for clients
            grace=10,
            reserve=0.7,
        )

    async def is_ready(self) -> bool:
        """Whether the server takes our password; makes the database the first time."""
        cluster = self.cluster
        try:
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=self.port,
                user=SUPERUSER,
                password=cluster.password,
                database="postgres",
                ssl=False,
                timeout=5,
            )
        except asyncpg.InvalidPasswordError as error:
            raise StackError(f"{cluster.password_file} does not open the database in {cluster.data}") from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        return True


async def stop_orphan(data: Path) -> bool:
    """Stops the server that an earlier run left in our own data directory, whatever its port; True if there was one."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    birth = identity(pid)
    if birth is None:
        return False
    if not is_postgres_of(pid, data):
        # Something else has the pid now; Postgres would take it for a running server and refuse to start.
        lock.unlink(missing_ok=True)
        return False
    return await stop_process(Record(pid, birth, signal.SIGINT, ORPHAN_GRACE))
