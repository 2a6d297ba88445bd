"""Run a temporary Postgres or Temporal for a test run, on free ports."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from embedded.cluster import Cluster
from embedded.ports import free_port
from embedded.postgres import Postgres
from embedded.supervisor import Supervisor
from embedded.temporal import Temporal


@asynccontextmanager
async def temporary_postgres(home: Path, *, durable: bool = False) -> AsyncIterator[Postgres]:
    """Run without fsync unless `durable`. The caller creates `home` and removes it. Yields an object with `.url`."""
    cluster = Cluster.at(home)
    cluster.prepare()
    postgres = Postgres(cluster=cluster, port=free_port(), log=cluster.home / "postgres.log", durable=durable)
    async with Supervisor(home) as supervisor:
        await supervisor.start(postgres.child())
        yield postgres


@asynccontextmanager
async def temporary_temporal(
    home: Path, *, namespace: str = "default", dynamic_config: Mapping[str, str] | None = None
) -> AsyncIterator[Temporal]:
    """Run headless and in memory. The caller creates `home`, absolute, for the log. Yields an object with
    `.address`.
    """
    temporal = Temporal(
        port=free_port(), log=home / "temporal.log", namespace=namespace, dynamic_config=dynamic_config or {}
    )
    async with Supervisor(home) as supervisor:
        await supervisor.start(temporal.child())
        yield temporal
