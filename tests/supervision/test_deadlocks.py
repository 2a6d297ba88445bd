"""Test workflow code that blocks its thread forever: the worker ends in time on a signal, and by itself if nothing else
ends. A real worker, with a workflow of which one type blocks."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervision.watchdog import HANG_EXIT_CODE
from tests.api_tenants import open_api_tenant
from tests.polling import eventually
from tests.supervision.worker_commands import WorkerCommand, worker_command

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PROGRAM = """
import os, time, worker
from supervision import watchdog
from workflows.notification import NotificationWorkflow

send = NotificationWorkflow._send

async def blocks(self):
    if self._start.notification_type == "blocks":
        time.sleep(600)
    return await send(self)

NotificationWorkflow._send = blocks
watchdog.THREADS = {threads}
os._exit(worker.run_processes())
"""


@pytest.fixture
async def blocked(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[WorkerCommand]:
    """Start a worker with this many threads for workflow code and a blocked workflow."""
    program = PROGRAM.format(threads=request.param)
    async with worker_command(database_url, tmp_path, "-c", program, count=1) as worker:
        async with open_api_tenant(worker.engine) as api_tenant:
            await api_tenant.put_type("blocks", ["email"])
            await api_tenant.put_recipient("ada", email="ada@example.com")
            await api_tenant.send("blocks")
            await eventually(worker.logged, lambda text: "_DeadlockError" in text)
        yield worker


@pytest.mark.parametrize("blocked", [500], indirect=True)
async def test_a_worker_with_a_blocked_workflow_sends_others_and_stops_on_sigterm(
    blocked: WorkerCommand,
) -> None:
    async with open_api_tenant(blocked.engine) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        await api_tenant.put_recipient("bob", email="bob@example.com")
        await api_tenant.wait_for_status(await api_tenant.send("news", "bob"), "DELIVERED")
    blocked.process.send_signal(signal.SIGTERM)
    assert await blocked.ended() == HANG_EXIT_CODE


@pytest.mark.long
@pytest.mark.parametrize("blocked", [1], indirect=True)
async def test_a_worker_in_which_nothing_else_can_run_ends_by_itself(blocked: WorkerCommand) -> None:
    assert await blocked.ended() == HANG_EXIT_CODE
