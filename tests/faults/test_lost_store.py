"""Temporal's store is lost with thousands of open notifications: all of them are started again, an operator sees how
far that is, and new sends go out meanwhile."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands.store_reports import described
from config import Settings
from dispatch.connection import connect
from tests.faults.books import Books
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.kinds import HOOK
from tests.faults.latency import sent_after
from tests.faults.servers import Servers, serving
from tests.polling import eventually

# One of them is sent, the others are copies of its rows.
OPEN = int(os.environ.get("OPEN_NOTIFICATIONS", 20_000))
STARTED_WITHIN = OPEN * 0.15  # seconds, on a slow machine
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.temporal,
    pytest.mark.long,
    pytest.mark.timeout(600 + STARTED_WITHIN),
]

BESIDE, SENT_WITHIN = 5, 120.0
COLUMNS = """
SELECT string_agg(column_name, ', ') FROM information_schema.columns
 WHERE table_name = $1 AND is_generated = 'NEVER' AND column_name <> ALL($2)
"""
COPY = """
WITH copy AS (
  INSERT INTO notification (id, idempotency_held, {notification})
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
class Stage:
    servers: Servers
    books: Books
    crowd: Crowd

    async def fill(self) -> None:
        """Notifications that wait for tomorrow, with workflows as far as the rows say."""
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        sent = await self.crowd.send(HOOK, send_at=tomorrow)
        await self.books.until(STATE, sent.id, is_="waiting", within=60)
        keys = ["id", "idempotency_key", "idempotency_hash", "idempotency_held"]
        notification = await self.books.one(COLUMNS, "notification", keys)
        entry = await self.books.one(COLUMNS, "queue_entry", ["notification_id"])
        await self.books.rows(COPY.format(notification=notification, entry=entry), sent.id, OPEN)

    async def lose_store(self) -> None:
        temporal = self.servers.parts["temporal"]
        await temporal.kill()
        self.servers.delete_temporal_store()
        await temporal.start()

    async def shown(self) -> str:
        """What `tocsin temporal show` prints."""
        info = self.servers.info
        return await described(Settings(env="dev", database_url=info.database_url, _env_file=None))

    async def running(self) -> int:
        client = await connect(self.servers.info.temporal_address, "default", lazy=False)
        return (await client.count_workflows(RUNNING)).count


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with serving(tmp_path / "data") as servers, open_crowd(servers) as crowd:
        books = Books(servers.info.database_url)
        yield Stage(servers=servers, books=books, crowd=crowd)
        await books.close()


async def test_what_was_in_a_lost_store_is_started_again_while_new_sends_go_out(stage: Stage) -> None:
    await stage.fill()
    await stage.lose_store()
    await eventually(stage.shown, lambda shown: "recovery  since" in shown, within=60)
    beside = await stage.crowd.burst(BESIDE, HOOK)
    await sent_after(stage.books, {each.id: 0.0 for each in beside}, SENT_WITHIN)
    shown = await stage.shown()
    assert "recovery  since" in shown, f"the recovery was over before the new sends: {shown}"
    assert not shown.endswith(", 0 left")
    await stage.books.until(STARTED_AGAIN, is_=OPEN, within=STARTED_WITHIN)
    assert f": {OPEN} started again" in await eventually(stage.shown, lambda shown: "recovery  finished" in shown)
    await eventually(stage.running, lambda count: count == OPEN, within=60)
