"""Test `worker.py` with several processes, on real servers."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from domain.names import NOTIFICATIONS_QUEUE
from embedded.process_identity import identity
from tests.api_tenants import open_api_tenant
from tests.polling import eventually
from tests.supervision.worker_commands import WorkerCommand, worker_command

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

COUNT = 2
READY = '"queues": ["notifications"], "event": "worker ready"'


@pytest.fixture
async def supervisor(database_url: str, tmp_path: Path) -> AsyncIterator[WorkerCommand]:
    async with worker_command(database_url, tmp_path, "worker.py", NOTIFICATIONS_QUEUE, count=COUNT) as supervisor:
        yield supervisor
        pids = [row["pid"] for row in await rows(supervisor)]
        if supervisor.process.returncode is None:
            supervisor.process.kill()  # before its processes, which it would restart
            await supervisor.process.wait()
        for pid in pids:
            if identity(pid):
                os.kill(pid, signal.SIGKILL)


async def rows(supervisor: WorkerCommand) -> list[dict[str, Any]]:
    """Return the rows that the processes have written about themselves."""
    async with supervisor.engine.container.database.transaction() as session:
        found = await session.execute(text("SELECT * FROM process WHERE kind = 'worker' ORDER BY started_at"))
        return [dict(row) for row in found.mappings()]


async def reported(supervisor: WorkerCommand, *without: int) -> list[int]:
    """Return the pids once every process has a row and none of them is in these."""
    found = await eventually(
        lambda: rows(supervisor), lambda seen: len({row["pid"] for row in seen} - {*without}) == COUNT
    )
    return [row["pid"] for row in found if row["pid"] not in without]


async def test_each_process_has_a_row_until_all_drain(
    supervisor: WorkerCommand,
) -> None:
    killed, _ = await reported(supervisor)
    assert [row["providers"] for row in await rows(supervisor)] == [["in_app", "sandbox"]] * COUNT
    async with open_api_tenant(supervisor.engine) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        await api_tenant.put_recipient("ada", email="ada@example.com")
        for id in [await api_tenant.send("news") for _ in range(10)]:
            await api_tenant.wait_for_status(id, "DELIVERED")
    os.kill(killed, signal.SIGKILL)
    pids = await reported(supervisor, killed)
    await eventually(supervisor.logged, lambda text: text.count(READY) == COUNT + 1)
    supervisor.process.terminate()
    assert await supervisor.ended() == 0
    assert [row["pid"] for row in await rows(supervisor)] == [killed]
    assert [pid for pid in pids if identity(pid)] == []
