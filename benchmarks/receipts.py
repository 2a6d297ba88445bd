"""Measure CPU time per receipt: signed requests to a real API process, from the request to the applied receipt.

Run with `python -m benchmarks.receipts`. No worker runs: the messages of the receipts were sent before.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx2

from benchmarks.cpu import cpu_seconds
from benchmarks.messages import PREPARATION
from benchmarks.servers import BenchmarkServers, start_servers
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

APPLY_TIMEOUT = 120.0
POLL_INTERVAL = 0.2
IDLE_SECONDS = 10.0
IN_FLIGHT = 2
SINGLE_PAUSE = 0.05  # seconds between requests
BATCH_SIZE = 50  # receipts per request
BATCH_COUNT, SINGLE_COUNT = 1000, 200  # receipts per figure
PROCESSES = ("api", "postgres")

# The type and the recipient of `messages` must exist. Each id is one sent notification, with its delivery and attempt.
INSERT_SENT = """
WITH one AS (SELECT id, ordinality AS n FROM unnest($1::uuid[]) WITH ORDINALITY AS x(id)),
kind AS (SELECT id, tenant FROM notification_type WHERE key = 'bench' LIMIT 1),
n AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         holds_idempotency_key, created_at, finished_at, generation, revision)
  SELECT one.id, kind.tenant, 'ada', 'bench', kind.id, '{"name": "Ada", "number": 4711}', 'SENT', 3, '{}', false,
         now(), now(), 1, 1 FROM one, kind RETURNING id, tenant
), d AS (
  INSERT INTO delivery (id, tenant, notification_id, generation, step, channel, is_skipped_by_rule, rendered_content,
         status, provider, provider_message_id, created_at, sent_at)
  SELECT id, tenant, id, 1, 1, 'email', false, '{"subject": "Your order", "text": "Hello Ada"}', 'SENT', 'sandbox',
         id::text, now(), now() FROM n RETURNING id
)
INSERT INTO attempt (id, tenant, notification_id, delivery_id, endpoint_id, number, provider, state, evidence,
       provider_message_id, provider_response, cost, started_at, finished_at, sent_at)
SELECT id, tenant, id, id, 'email', 1, 'sandbox', 'accepted', 'sent', id::text, '{"status": "queued"}', 0, now(),
       now(), now() FROM n
"""
COUNT_PENDING = "SELECT count(*) FROM receipt WHERE applied_at IS NULL"
COUNT_APPLIED = "SELECT count(*) FROM attempt WHERE id = ANY($1::uuid[]) AND delivered_at IS NOT NULL"


class ReceiptsNotApplied(Exception):
    """Signal that the receipts were not applied within the limit."""


@dataclass(frozen=True, kw_only=True)
class ReceiptCpu:
    """Hold CPU milliseconds per receipt and process, without the idle load of the process."""

    batch: int
    count: int
    seconds: float
    milliseconds: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.milliseconds.values())

    def format_line(self) -> str:
        split = ", ".join(f"{name} {value:.2f}" for name, value in self.milliseconds.items())
        rate = self.count / self.seconds
        return f"batches of {self.batch:>3}: {self.total:.2f} ms CPU per receipt ({split}), {rate:.0f} receipts/s"


class ReceiptMeasures:
    """Measure receipts. `http` may be any client: the signature is the only credential of the route."""

    def __init__(
        self, servers: BenchmarkServers, http: httpx2.AsyncClient, database: asyncpg.Connection, secret: bytes
    ) -> None:
        self._servers = servers
        self._http = http
        self._database = database
        self._secret = secret
        self._idle: dict[str, float] = {}

    async def prepare(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Create the rows that the receipts refer to, and measure the idle load of the processes, in cores."""
        for method, path, body in PREPARATION:
            (await self._http.request(method, path, json=body)).raise_for_status()
        before = self._read_cpu()
        await asyncio.sleep(idle_seconds)
        after = self._read_cpu()
        self._idle = {name: (after[name] - before[name]) / idle_seconds for name in PROCESSES}

    async def measure(self, count: int, batch: int, pause: float = 0.0) -> ReceiptCpu:
        """Post `count` receipts of different notifications, `batch` per request, and wait until all are applied.

        With a `pause` after each request, each receipt is applied separately.
        """
        ids = [uuid4() for _ in range(count)]
        await self._database.execute(INSERT_SENT, ids)
        await self._database.execute("ANALYZE notification, delivery, attempt, receipt")
        before, started = self._read_cpu(), time.perf_counter()
        await self._post([ids[first : first + batch] for first in range(0, count, batch)], pause)
        await self._wait_until_applied(ids)
        seconds, after = time.perf_counter() - started, self._read_cpu()
        spent = {name: after[name] - before[name] - self._idle[name] * seconds for name in PROCESSES}
        return ReceiptCpu(
            batch=batch,
            count=count,
            seconds=seconds,
            milliseconds={name: value * 1000 / count for name, value in spent.items()},
        )

    async def _post(self, batches: list[list[UUID]], pause: float) -> None:
        pending = iter(batches)

        async def post_all() -> None:
            for ids in pending:
                await self._request(ids)
                await asyncio.sleep(pause)

        await asyncio.gather(*(post_all() for _ in range(1 if pause else IN_FLIGHT)))

    async def _request(self, ids: list[UUID]) -> None:
        at = datetime.now(UTC).isoformat()
        events = [{"event": "delivered", "message_id": str(id), "reference": str(id), "at": at} for id in ids]
        body = json.dumps({"events": events}).encode()
        timestamp = str(int(time.time()))
        headers = {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(self._secret, timestamp, body)}
        (await self._http.post("/receipts/sandbox", content=body, headers=headers)).raise_for_status()

    async def _wait_until_applied(self, ids: list[UUID]) -> None:
        deadline = time.monotonic() + APPLY_TIMEOUT
        while await self._database.fetchval(COUNT_PENDING) or await self._database.fetchval(COUNT_APPLIED, ids) < len(
            ids
        ):
            if time.monotonic() > deadline:
                raise ReceiptsNotApplied(f"not applied within {APPLY_TIMEOUT:g} s")
            await asyncio.sleep(POLL_INTERVAL)

    def _read_cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(self._servers.logs.parent / "run", name) for name in PROCESSES}


@asynccontextmanager
async def start_receipt_measures(
    servers: BenchmarkServers, idle_seconds: float = IDLE_SECONDS
) -> AsyncIterator[ReceiptMeasures]:
    """Yield prepared measures after a first batch that warms both processes."""
    http = httpx2.AsyncClient(
        base_url=f"{servers.places.api_url}/api/v1",
        headers={"Authorization": f"Bearer {servers.api_key}"},
        timeout=60,
        trust_env=False,
    )
    database = await asyncpg.connect(servers.places.database_url.replace("postgresql+asyncpg", "postgresql", 1))
    try:
        receipt_measures = ReceiptMeasures(servers, http, database, servers.env["TOCSIN_SECRET_KEY"].encode())
        await receipt_measures.prepare(idle_seconds)
        await receipt_measures.measure(BATCH_SIZE, BATCH_SIZE)
        yield receipt_measures
    finally:
        await http.aclose()
        await database.close()


async def measure_receipt_cpu_ms(servers: BenchmarkServers) -> dict[str, float]:
    """Return CPU milliseconds per receipt of API and Postgres: `single`, one at a time, and `batch`, 50 per request."""
    async with start_receipt_measures(servers) as receipt_measures:
        single = await receipt_measures.measure(SINGLE_COUNT, 1, SINGLE_PAUSE)
        batch = await receipt_measures.measure(BATCH_COUNT, BATCH_SIZE)
    return {"single": single.total, "batch": batch.total}


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tocsin-receipts-") as home:
        async with start_servers(Path(home)) as servers, start_receipt_measures(servers) as receipt_measures:
            for _ in range(options.rounds):
                print((await receipt_measures.measure(options.count, options.batch)).format_line(), flush=True)
                print((await receipt_measures.measure(options.count, 1)).format_line(), flush=True)
                print(
                    "one at a time,",
                    (await receipt_measures.measure(options.alone, 1, SINGLE_PAUSE)).format_line(),
                    flush=True,
                )


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receipts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=BATCH_COUNT, help="receipts per figure")
    parser.add_argument("--alone", type=int, default=SINGLE_COUNT, help="receipts posted one at a time")
    parser.add_argument("--batch", type=int, default=BATCH_SIZE, help="receipts per request")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(main(arguments(sys.argv[1:])))
