"""The server holds a provider's rate, and lifts it while nothing goes to that provider anyway."""

from pathlib import Path

import pytest
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from dispatch.connection import connect
from dispatch.rates import LIFTED, Rates
from domain.circuits import Tally
from embedded.temporary import temporary_temporal
from storage import provider_health
from storage.database import Database
from tests.storage.databases import own_database

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def limit(client: Client, queue: str) -> float | None:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        report_config=True,
    )
    config = (await client.workflow_service.describe_task_queue(request)).config
    if not config.queue_rate_limit.HasField("rate_limit"):
        return None
    return config.queue_rate_limit.rate_limit.requests_per_second


async def told(database: Database, *tallies: Tally) -> None:
    for tally in tallies:
        async with database.transaction() as session:
            await provider_health.move(session, "sendgrid", tally)


async def test_it_is_lifted_with_an_open_circuit_and_held_again_with_a_closed_one(
    database_url: str, tmp_path: Path
) -> None:
    async with own_database(database_url) as database, temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        rates = Rates(database, client, {"sendgrid": 20, "smtp": 0})
        await rates.keep()
        assert await limit(client, "deliver-sendgrid") == 20
        assert await limit(client, "deliver-smtp") is None
        await told(database, Tally(calls=5, errors=5))
        await rates.keep()
        assert await limit(client, "deliver-sendgrid") == LIFTED
        async with database.transaction() as session:
            await session.execute(text("UPDATE provider_health SET probe_at = now()"))
        await told(database, Tally(), Tally(calls=3))
        await rates.keep()
        assert await limit(client, "deliver-sendgrid") == 20
