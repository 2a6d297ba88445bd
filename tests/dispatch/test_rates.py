"""Test that the server enforces a provider's rate, and lifts it while no calls go to that provider."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from dispatch.temporal.connection import connect
from dispatch.temporal.queue_rates import QueueRateTask
from domain.circuits import CallTally
from domain.rates import UNLIMITED_RATE
from embedded.temporary_servers import temporary_temporal
from storage import provider_health
from storage.database import Database
from tests.polling import eventually
from tests.storage.databases import own_database

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def limits(client: Client, queue: str) -> tuple[float | None, float | None]:
    """Return the limit of all calls, and of each fairness key's."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        report_config=True,
    )
    config = (await client.workflow_service.describe_task_queue(request)).config
    both = config.queue_rate_limit, config.fairness_keys_rate_limit_default
    rate, tenant_rate = (one.rate_limit.requests_per_second if one.HasField("rate_limit") else None for one in both)
    return rate, tenant_rate


async def wait_for_limit(client: Client, queue: str, rate: float | None, tenant_rate: float | None = None) -> None:
    """Wait for a limit: the server shows it a few milliseconds later."""
    await eventually(partial(limits, client, queue), lambda seen: seen == (rate, tenant_rate))


async def report_tallies(database: Database, *tallies: CallTally) -> None:
    for tally in tallies:
        async with database.transaction() as session:
            await provider_health.apply_tally(session, "sendgrid", tally)


async def test_a_rate_is_lifted_by_an_open_circuit_and_restored_afterwards(database_url: str, tmp_path: Path) -> None:
    async with own_database(database_url) as database, temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        rates = QueueRateTask(database, client, {"sendgrid": 20, "smtp": 0})
        await rates.update_rates()
        await wait_for_limit(client, "deliver-sendgrid", 20)
        await wait_for_limit(client, "deliver-smtp", None)
        await report_tallies(database, CallTally(calls=5, errors=5))
        await rates.update_rates()
        await wait_for_limit(client, "deliver-sendgrid", UNLIMITED_RATE)
        async with database.transaction() as session:
            await session.execute(text("UPDATE provider_health SET probe_at = now()"))
        await report_tallies(database, CallTally(), CallTally(calls=3))
        await rates.update_rates()
        await wait_for_limit(client, "deliver-sendgrid", 20)


async def test_a_rate_set_at_run_time_stays_until_it_is_reset(database_url: str, tmp_path: Path) -> None:
    async with own_database(database_url) as database, temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        rates = QueueRateTask(database, client, {"sendgrid": 50, "smtp": 0})

        async def change(provider: str, **changes: float | None) -> None:
            async with database.transaction() as session:
                await provider_health.update_limits(session, provider, changes)
            await rates.update_rates()

        await change("sendgrid", rate=20, tenant_rate=5)
        await wait_for_limit(client, "deliver-sendgrid", 20, 5)
        await change("sendgrid", rate=0)
        await wait_for_limit(client, "deliver-sendgrid", UNLIMITED_RATE, 5)
        await change("sendgrid", rate=None, tenant_rate=None)
        await wait_for_limit(client, "deliver-sendgrid", 50)
        await change("smtp", rate=20)
        await wait_for_limit(client, "deliver-smtp", 20)
        await change("smtp", rate=None)
        await wait_for_limit(client, "deliver-smtp", None)


async def test_a_late_rate_is_replaced_by_the_newer_one(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader stalls between the read and the call, and another one sets a newer rate in between."""
    async with own_database(database_url) as database, temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        late, current = (QueueRateTask(database, client, {"sendgrid": 50}) for _ in range(2))
        tell = late._update_queue

        async def stand_still(*given: Any) -> None:
            monkeypatch.undo()
            async with database.transaction() as session:
                await provider_health.update_limits(session, "sendgrid", {"rate": 20})
            await current.update_rates()
            await tell(*given)

        monkeypatch.setattr(late, "_update_queue", stand_still)
        await late.update_rates()
        await wait_for_limit(client, "deliver-sendgrid", 20)
