"""What is measured. One figure per call: rates per second, latencies in seconds; each call leaves nothing running."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
from temporalio.client import Client

from benchmarks.floor import QUEUE, FloorWorkflow
from benchmarks.stack import Servers

IN_FLIGHT = 16  # requests or starts at a time; the dispatcher has as many starts in flight
DONE_WITHIN = 120.0
LOOK_EVERY = 0.01
# Accepted, and never reported back: receipts would share the machine with what is measured.
ADDRESS = "ada+silent@example.com"
TEMPLATE = {
    "name": "bench",
    "channel": "email",
    "language": "en",
    "subject_template": "Your order {{ number }}",
    "body_template": "<p>Hello {{ name }}, your order {{ number }} is on its way.</p>",
    "variables_schema": {"type": "object", "properties": {"name": {"type": "string"}, "number": {"type": "integer"}}},
    "publish": True,
}
TYPE = {"category": "orders", "route": [{"channels": ["email"]}], "templates": {"email": "bench"}}
SENT = "SELECT count(*) FROM delivery WHERE notification_id = ANY($1::uuid[]) AND sent_at IS NOT NULL"
SENT_AT = "SELECT sent_at FROM delivery WHERE notification_id = $1::uuid AND sent_at IS NOT NULL"


class TooSlow(Exception):
    """A measurement did not end within its limit."""


class Measures:
    """Built with open clients; `prepare` first."""

    def __init__(self, http: httpx2.AsyncClient, temporal: Client, database: asyncpg.Connection) -> None:
        self._http = http
        self._temporal = temporal
        self._database = database

    async def prepare(self) -> None:
        await self._ok("POST", "/templates", TEMPLATE)
        await self._ok("PUT", "/notification-types/bench", TYPE)
        await self._ok("PUT", "/recipients/ada", {"email": ADDRESS, "locale": "en"})

    async def floor_rate(self, count: int) -> float:
        started = time.perf_counter()
        await _at_once([self._floor] * count)
        return count / (time.perf_counter() - started)

    async def single_rates(self, count: int) -> tuple[float, float]:
        """Sends one by one: (accepted per second, sent per second)."""
        started = time.perf_counter()
        ids = await _at_once([self._send] * count)
        accepted = time.perf_counter() - started
        await self._all_sent(ids)
        return count / accepted, count / (time.perf_counter() - started)

    async def batch_rates(self, count: int) -> tuple[float, float]:
        """The same in one `send-batch`: the engine has them all at once."""
        started = time.perf_counter()
        answer = await self._ok("POST", "/notifications/send-batch", {"items": [_message(3)] * count})
        accepted = time.perf_counter() - started
        await self._all_sent([item["id"] for item in answer["items"]])
        return count / accepted, count / (time.perf_counter() - started)

    async def floor_latency(self) -> float:
        """From the call until the activity runs, on an idle machine."""
        started = time.time()
        return await self._floor() - started

    async def send_latency(self, priority: int) -> float:
        """From the call until the acceptance by the provider is recorded, on an idle machine."""
        started = time.time()
        id = await self._send(priority)
        sent_at = await self._until(lambda: self._database.fetchval(SENT_AT, id), bool)
        return float(sent_at.timestamp() - started)

    async def _floor(self) -> float:
        return await self._temporal.execute_workflow(FloorWorkflow.run, id=f"floor-{uuid4()}", task_queue=QUEUE)

    async def _send(self, priority: int = 3) -> str:
        return str((await self._ok("POST", "/notifications/send", _message(priority)))["id"])

    async def _all_sent(self, ids: list[str]) -> None:
        await self._until(lambda: self._database.fetchval(SENT, ids), lambda count: count == len(ids))

    async def _until(self, look: Callable[[], Awaitable[Any]], enough: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + DONE_WITHIN
        while not enough(seen := await look()):
            if time.monotonic() > deadline:
                raise TooSlow(f"not done within {DONE_WITHIN:g} s; last seen: {seen}")
            await asyncio.sleep(LOOK_EVERY)
        return seen

    async def _ok(self, method: str, path: str, body: Any) -> Any:
        response = await self._http.request(method, path, json=body)
        response.raise_for_status()
        return response.json() if response.content else None


def _message(priority: int) -> dict[str, Any]:
    payload = {"name": "Ada", "number": 4711}
    return {"notification_type": "bench", "recipient_id": "ada", "payload": payload, "priority": priority}


async def _at_once(calls: list[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All of them, so many at a time; the answers in their order."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(call: Callable[[], Awaitable[Any]]) -> Any:
        async with gate:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


async def connect(given: Servers) -> tuple[httpx2.AsyncClient, Client, asyncpg.Connection]:
    http = httpx2.AsyncClient(
        base_url=f"{given.places.api_url}/api/v1",
        headers={"Authorization": f"Bearer {given.api_key}"},
        timeout=60,
        trust_env=False,
    )
    temporal = await Client.connect(given.places.temporal_address)
    dsn = given.places.database_url.replace("postgresql+asyncpg", "postgresql", 1)
    return http, temporal, await asyncpg.connect(dsn)
