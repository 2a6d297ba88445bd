"""Measure sends in a database with many finished notifications.

It compares the cost of the last sends with that of the first, and shows how Postgres runs a search by status there.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import make_url

from benchmarks.clients import Clients
from benchmarks.cpu import CpuMeter
from benchmarks.figures import Figures
from benchmarks.measures import SendMeasures
from benchmarks.ratios import PRODUCT_FIGURES
from benchmarks.servers import BenchmarkServers
from models.columns import new_id
from storage.notifications import NotificationFilter, build_search

COPY_BATCH_SIZE = 20_000
AGE = timedelta(days=30)
PAGE_SIZE = 50
FAILED_ONE_IN = 50
SELECT_TYPE = "SELECT id, tenant FROM notification_type WHERE key = 'bench'"
TABLE_COLUMNS = {
    "notification": "id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,"
    " holds_idempotency_key, created_at, finished_at, generation, revision",
    "delivery": "id, tenant, notification_id, generation, step, channel, is_skipped_by_rule, rendered_content, status,"
    " provider, provider_message_id, created_at, sent_at",
    "attempt": "id, tenant, notification_id, delivery_id, endpoint_id, number, provider, state, evidence,"
    " provider_message_id, cost, started_at, finished_at, sent_at",
}
PAYLOAD = json.dumps({"name": "Ada", "number": 4711})
CONTENT = json.dumps({"subject": "Your order", "text": "Hello Ada"})


@dataclass(frozen=True, kw_only=True)
class FinishedSize:
    """`rows` notifications have finished; then there are `blocks` of sends, each after a block of floor workflows."""

    rows: int = 1_000_000
    blocks: int = 5
    block: int = 1_000


class FinishedRows:
    """Measure with prepared clients, while the worker and the floor's worker run."""

    def __init__(self, servers: BenchmarkServers, clients: Clients) -> None:
        self._records = servers.records
        self._database = clients.database
        self._measures = SendMeasures(clients)

    async def measure(self, size: FinishedSize, figures: Figures) -> None:
        await self.insert_rows(size.rows)
        figures.add("search_buffers", [count_pages_read(await self.search_plan())])
        for _ in range(size.blocks):
            await self._measure_block(size.block, figures)

    async def insert_rows(self, count: int) -> None:
        """Fill the tables by COPY, with a delivery and an attempt of each notification, and vacuum them, so that
        autovacuum does not run during a block.
        """
        type_id, tenant = await self._read_type()
        for first in range(0, count, COPY_BATCH_SIZE):
            ids = [new_id() for _ in range(min(COPY_BATCH_SIZE, count - first))]
            for table, columns in TABLE_COLUMNS.items():
                rows = ROW_BUILDERS[table](ids, tenant, type_id)
                await self._database.copy_records_to_table(table, columns=columns.split(", "), records=rows)
        await self._database.execute(f"VACUUM (ANALYZE) {', '.join(TABLE_COLUMNS)}")
        await self._database.execute("CHECKPOINT")

    async def search_plan(self) -> dict[str, Any]:
        """Explain the first page of failed notifications, as the API reads it."""
        _, tenant = await self._read_type()
        statement = build_search(tenant, NotificationFilter(status="FAILED"), before=None, limit=PAGE_SIZE)
        dialect = make_url("postgresql+asyncpg://").get_dialect()()
        sql = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        explained = await self._database.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
        plan: dict[str, Any] = json.loads(explained)[0]["Plan"]
        return plan

    async def _read_type(self) -> tuple[UUID, UUID]:
        """Return the ids of the type and its tenant."""
        [row] = await self._database.fetch(SELECT_TYPE)
        return row["id"], row["tenant"]

    async def _measure_block(self, count: int, figures: Figures) -> None:
        meter = CpuMeter(self._records, ["floor"])
        await self._measures.floor_rate(count)
        figures.add("cpu_ms_floor_block", [meter.milliseconds(count)["floor"]])
        meter = CpuMeter(self._records, [name.removeprefix("cpu_ms_") for name in PRODUCT_FIGURES])
        await self._measures.single_rate(count)
        spent = meter.milliseconds(count)
        for name, milliseconds in spent.items():
            figures.add(f"cpu_ms_send_block_{name}", [milliseconds])
        figures.add("cpu_ms_send_block", [sum(spent.values())])


def compute_finished_ratios(figures: Figures) -> dict[str, float]:
    """Divide the CPU time of the last block of sends by that of the first, each divided by that of its floor block."""
    blocks = figures.ratios("cpu_ms_send_block")
    return {"last_sends_vs_first": blocks[-1] / blocks[0], "search_buffers": figures.values("search_buffers")[0]}


def count_pages_read(plan: dict[str, Any]) -> float:
    """Return the pages of 8 KiB that the statement has read."""
    return float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def list_node_types(plan: dict[str, Any]) -> Iterator[str]:
    """Yield the kinds of the plan's nodes."""
    yield plan["Node Type"]
    for child_plan in plan.get("Plans", []):
        yield from list_node_types(child_plan)


CopyRows = Iterator[tuple[object, ...]]


def _notifications(ids: list[UUID], tenant: UUID, type_id: UUID) -> CopyRows:
    at = datetime.now(UTC) - AGE
    for number, id in enumerate(ids):
        status = "FAILED" if number % FAILED_ONE_IN == 0 else "SENT"
        yield id, tenant, "ada", "bench", type_id, PAYLOAD, status, 3, [], False, at, at, 1, 3


def _deliveries(ids: list[UUID], tenant: UUID, _: UUID) -> CopyRows:
    at = datetime.now(UTC) - AGE
    for id in ids:
        yield id, tenant, id, 1, 1, "email", False, CONTENT, "SENT", "sandbox", str(id), at, at


def _attempts(ids: list[UUID], tenant: UUID, _: UUID) -> CopyRows:
    at = datetime.now(UTC) - AGE
    for id in ids:
        yield id, tenant, id, id, "email", 1, "sandbox", "accepted", "sent", str(id), 0, at, at, at


ROW_BUILDERS = {"notification": _notifications, "delivery": _deliveries, "attempt": _attempts}
