"""Lose Temporal's store with thousands of open notifications: all are started again, an operator sees the progress, and
new sends go out during that.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands.store_reports import describe_stores
from config import Settings
from dispatch.temporal.connection import connect
from faults.latency import seconds_until_sent
from faults.load_generator import LoadGenerator, open_load_generator
from faults.servers import Servers, running_servers
from faults.stack_database import StackDatabase
from faults.type_specs import WEBHOOK
from tests.polling import eventually

# One of them is sent; the others are copies of its rows.
OPEN = int(os.environ.get("OPEN_NOTIFICATIONS", 20_000))
START_TIMEOUT = OPEN * 0.15  # seconds, on a slow machine
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.temporal,
    pytest.mark.long,
    pytest.mark.timeout(600 + START_TIMEOUT),
]

OTHER_SENDS, SEND_TIMEOUT = 5, 120.0
COLUMNS = """
SELECT string_agg(column_name, ', ') FROM information_schema.columns
 WHERE table_name = $1 AND is_generated = 'NEVER' AND column_name <> ALL($2)
"""
COPY = """
WITH copy AS (
  INSERT INTO notification (id, holds_idempotency_key, {notification})
  SELECT gen_random_uuid(), false, {notification} FROM notification, generate_series(2, CAST($2 AS int))
   WHERE id = CAST($1::text AS uuid) RETURNING id
)
INSERT INTO queue_entry (notification_id, {entry})
SELECT copy.id, {entry} FROM queue_entry, copy WHERE notification_id = CAST($1::text AS uuid)
"""
STATE = "SELECT state FROM queue_entry WHERE notification_id::text = $1"
STARTED_AGAIN = """
SELECT count(*) FROM queue_entry q, engine_state e WHERE q.state = 'waiting' AND q.started_at > e.recovery_since
"""
RUNNING = "ExecutionStatus = 'Running' AND WorkflowType = 'NotificationWorkflow'"


@dataclass(frozen=True, kw_only=True)
class LostStoreStack:
    servers: Servers
    stack_database: StackDatabase
    load_generator: LoadGenerator

    async def fill(self) -> None:
        """Create notifications that wait for tomorrow, whose rows claim to have workflows."""
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        sent = await self.load_generator.send(WEBHOOK, send_at=tomorrow)
        await self.stack_database.until(STATE, sent.id, is_="waiting", within=60)
        keys = ["id", "idempotency_key", "idempotency_hash", "holds_idempotency_key"]
        notification = await self.stack_database.one(COLUMNS, "notification", keys)
        entry = await self.stack_database.one(COLUMNS, "queue_entry", ["notification_id"])
        await self.stack_database.rows(COPY.format(notification=notification, entry=entry), sent.id, OPEN)

    async def lose_store(self) -> None:
        temporal = self.servers.processes["temporal"]
        await temporal.kill()
        self.servers.delete_temporal_store()
        await temporal.start()

    async def shown(self) -> str:
        """Return the output of `tocsin temporal show`."""
        info = self.servers.info
        return await describe_stores(Settings(env="dev", database_url=info.database_url, _env_file=None))

    async def running(self) -> int:
        client = await connect(self.servers.info.temporal_address, "default", lazy=False)
        return (await client.count_workflows(RUNNING)).count


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LostStoreStack]:
    async with running_servers(tmp_path / "data") as servers, open_load_generator(servers) as load_generator:
        stack_database = StackDatabase(servers.info.database_url)
        yield LostStoreStack(servers=servers, stack_database=stack_database, load_generator=load_generator)
        await stack_database.close()


async def test_notifications_of_a_lost_store_restart_while_new_sends_go_out(stack: LostStoreStack) -> None:
    await stack.fill()
    await stack.lose_store()
    await eventually(stack.shown, lambda shown: "recovery  since" in shown, within=60)
    others = await stack.load_generator.burst(OTHER_SENDS, WEBHOOK)
    await seconds_until_sent(stack.stack_database, {each.id: 0.0 for each in others}, SEND_TIMEOUT)
    shown = await stack.shown()
    assert "recovery  since" in shown, f"the recovery was over before the new sends: {shown}"
    assert not shown.endswith(", 0 left")
    await stack.stack_database.until(STARTED_AGAIN, is_=OPEN, within=START_TIMEOUT)
    assert f": {OPEN} restarted" in await eventually(stack.shown, lambda shown: "recovery  finished" in shown)
    await eventually(stack.running, lambda count: count == OPEN, within=60)
