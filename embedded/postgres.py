"""Run the embedded Postgres: Tocsin's own cluster, on a loopback port."""

import signal
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from config import Settings
from embedded.cluster import SUPERUSER, Cluster
from embedded.environment import server_environment
from embedded.errors import StackError
from embedded.orphan_processes import ProcessRecord, stop_recorded_process
from embedded.process_identity import identity, is_postgres_of
from embedded.processes import ProcessSpec, with_parent_death_signal

DATABASE_NAME = "tocsin"
ORPHAN_GRACE_PERIOD = 10.0

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    # Statements, parameters and the details of errors contain names, addresses and messages: not for a log.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


MIN_CONNECTIONS = 200
# In addition to the pools: each process listens on one connection, and operators connect with psql.
OTHER_CONNECTIONS = 60


def max_connections(settings: Settings) -> int:
    """Return the connections that the API, the workers and operators may open together."""
    return max(MIN_CONNECTIONS, 2 * settings.database_pool + OTHER_CONNECTIONS)


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """Serve `cluster` on `port`. `durable=False` trades fsync for speed, for tests only."""

    cluster: Cluster
    port: int
    log: Path
    durable: bool = True
    max_connections: int = MIN_CONNECTIONS

    @property
    def url(self) -> str:
        """Return the URL for SQLAlchemy, including the password."""
        return f"postgresql+asyncpg://{SUPERUSER}:{self.cluster.password}@127.0.0.1:{self.port}/{DATABASE_NAME}"

    def child(self) -> ProcessSpec:
        options = SERVER_SETTINGS | {
            "port": str(self.port),
            "fsync": "on" if self.durable else "off",
            "max_connections": str(self.max_connections),
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        server = [str(self.cluster.binaries / "postgres"), "-D", str(self.cluster.data), *flags]
        return ProcessSpec(
            name="postgres",
            # The change of account would clear the parent death signal, so that comes after it.
            argv=[*self.cluster.account.prefix, *with_parent_death_signal(server, signal.SIGINT)],
            log=self.log,
            cwd=self.cluster.home,
            env=server_environment(),
            ready=self.is_ready,
            stop_signal=signal.SIGINT,  # "fast": it does not wait for clients
            grace=10,
            min_grace=0.7,
        )

    async def is_ready(self) -> bool:
        """Return whether the server accepts the password. Create the database the first time."""
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
            raise StackError(
                f"the password in {cluster.password_file} does not open the database in {cluster.data}"
            ) from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE_NAME):
                await connection.execute(f"CREATE DATABASE {DATABASE_NAME}")
        finally:
            await connection.close()
        return True


async def stop_orphan_postgres(data: Path) -> bool:
    """Stop the server that an earlier run left in this data directory, whatever its port. True if there was one."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    current_identity = identity(pid)
    if current_identity is None:
        return False
    if not is_postgres_of(pid, data):
        # Another process has the pid now. Postgres would take it for a running server and refuse to start.
        lock.unlink(missing_ok=True)
        return False
    return await stop_recorded_process(ProcessRecord(pid, current_identity, signal.SIGINT, ORPHAN_GRACE_PERIOD))
