"""Schemas, payloads and templates that would stop the API: another connection is answered while each of them runs."""

import asyncio
import http.client
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from embedded.ports import free_port
from embedded.stack import CHECKOUT
from storage.api_keys import create_key, ensure_tenant
from storage.database import Database
from tests.polling import eventually

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.xdist_group("attacks"),
]

Json = dict[str, Any]

# On an idle machine the slowest of each attack is at 0.1 s; before, 4 to 60 s. The suite runs beside other tests.
P99_SECONDS = 0.5
GROWTH = 64 << 20
PAUSE = 0.02
SLOW = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def doubling(times: int, definitions: str) -> Json:
    steps: Json = {f"a{n}": {"allOf": [{"$ref": f"#/{definitions}/a{n + 1}"}] * 2} for n in range(times)}
    decoy: Json = {definitions: {f"a{n}": True for n in range(times + 1)}} if "%" in definitions else {}
    return {"$ref": f"#/{definitions}/a0", "$defs": {**steps, f"a{times}": {"type": "string"}}, **decoy}


def anchored(times: int) -> Json:
    steps: Json = {f"a{n}": {"$anchor": f"a{n}", "allOf": [{"$ref": f"#a{n + 1}"}] * 2} for n in range(times)}
    return {"$ref": "#a0", "$defs": {**steps, f"a{times}": {"$anchor": f"a{times}", "type": "string"}}}


def unevaluated(times: int) -> Json:
    schema: Json = {"properties": {f"k{n}": {"type": "integer"} for n in range(100)}}
    for _ in range(times):
        schema = {"anyOf": [schema, {"type": "null"}], "unevaluatedProperties": False}
    return schema


SCHEMAS: dict[str, Json] = {
    "encoded pointer": doubling(27, "%24defs"),
    "plain pointer": doubling(27, "$defs"),
    "anchor": anchored(27),
    "dynamic": {"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a", "items": {"$dynamicRef": "#a"}}}},
    "own base": {"$defs": {"x": {"$id": "https://x.test/", **doubling(20, "$defs")}}, "$ref": "https://x.test/"},
    "if and then": {"if": doubling(20, "$defs"), "then": doubling(20, "$defs")},
    "unevaluated": unevaluated(15),
    "1,900 patterns": {"patternProperties": {f"^(a|b)*{n}\\w": {"type": "integer"} for n in range(1_900)}},
    "large patterns": {"allOf": [{"pattern": rf"(\w{{90}}|\d{{{n}}}){{20}}"} for n in range(90)]},
}
HEAVY: Json = {"properties": {"rows": {"items": {"not": {"enum": [f"{n:08}" for n in range(4_000)]}}}}}
BACKTRACKING: Json = {"properties": {"text": {"allOf": [{"not": {"pattern": f"(?=a)(a+)+{n}$"}} for n in range(90)]}}}


class Watcher:
    """Asks for /healthz over a connection of its own, in a thread of its own, until told to stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seconds: list[float] = []

    @contextmanager
    def watching(self) -> Iterator["Watcher"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]

    def _watch(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.wait(PAUSE):
            begun = time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.seconds.append(time.monotonic() - begun)
        connection.close()


class Target:
    """A real API process and one tenant of it."""

    def __init__(self, pid: int, port: int, client: httpx2.AsyncClient) -> None:
        self.pid, self.port, self.client = pid, port, client

    async def save(self, schema: Json, body: str = "Hi") -> httpx2.Response:
        place = {"name": "news", "channel": "sms", "language": "en"}
        given = {"body_template": body, "variables_schema": schema, "publish": True}
        return await self.client.post("/templates", json={**place, **given})

    async def batch(self, payload: Json, items: int) -> httpx2.Response:
        send = {"notification_type": "news", "recipient_id": "ada", "payload": payload}
        return await self.client.post("/notifications/send-batch", json={"items": [send] * items})

    async def preview(self, payload: Json) -> httpx2.Response:
        return await self.client.post("/templates/news/preview", json={"channel": "sms", "payload": payload})

    async def resident(self) -> int:
        """Bytes of the API process and its children."""
        return sum(map(_resident, [self.pid, *_children(self.pid)])) * os.sysconf("SC_PAGE_SIZE")


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _resident(pid: int) -> int:
    """Pages; none of a child that has just been replaced."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="module")
async def api_process(database_url: str) -> AsyncIterator[tuple[int, int]]:
    """Its port and process id."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "TOCSIN_ENV": "dev",
        "TOCSIN_DATABASE_URL": database_url,
        "TOCSIN_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api", cwd=CHECKOUT, env=environment)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        await eventually(lambda: _answers(client), bool)
    yield port, process.pid
    process.terminate()
    await process.wait()


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
async def target(api_process: tuple[int, int], database: Database) -> AsyncIterator[Target]:
    async with database.transaction() as session:
        tenant = await ensure_tenant(session, uuid4().hex, "Attacker")
        _, key = await create_key(session, tenant.id, "test", ("send", "read", "manage"))
    base = f"http://127.0.0.1:{api_process[0]}/api/v1"
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
        target = Target(api_process[1], api_process[0], client)
        assert (await target.save({})).status_code == 201
        kind = {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
        assert (await client.put("/notification-types/news", json=kind)).status_code < 300
        assert (await client.put("/recipients/ada", json={"phone": "+447700900123"})).status_code < 300
        yield target


@asynccontextmanager
async def harmless(target: Target) -> AsyncIterator[None]:
    """What runs inside leaves /healthz fast and memory where it was."""
    before = await target.resident()
    watcher = Watcher(target.port)
    with watcher.watching():
        yield
    assert watcher.seconds
    assert watcher.p99 < P99_SECONDS, f"{watcher.p99:.2f} s"
    await eventually(target.resident, lambda now: now < before + GROWTH)


async def several(call: Callable[[], Awaitable[httpx2.Response]], times: int) -> set[int]:
    return {response.status_code for response in await asyncio.gather(*(call() for _ in range(times)))}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_saving_and_using_a_hostile_schema_stops_nobody(target: Target, name: str) -> None:
    payload = {f"k{n}": n for n in range(100)}
    async with harmless(target):
        statuses = await several(lambda: target.save(SCHEMAS[name]), 4)
        statuses |= await several(lambda: target.batch(payload, 50), 2)
        statuses |= await several(lambda: target.preview(payload), 4)
    assert statuses <= {200, 201, 202, 422}


async def test_heavy_payloads_of_a_batch_stop_nobody(target: Target) -> None:
    assert (await target.save(HEAVY)).status_code == 201
    async with harmless(target):
        large = await target.batch({"rows": ["x"] * 19_000}, 4)
        small = await target.batch({"rows": ["x"] * 100}, 100)
    assert {item["status"] for item in large.json()["items"]} == {422}
    assert {item["status"] for item in small.json()["items"]} == {202, 422}  # beyond the work of the request


async def test_backtracking_patterns_stop_nobody(target: Target) -> None:
    assert (await target.save(BACKTRACKING)).status_code == 201
    async with harmless(target):
        items = [item for _ in range(3) for item in (await target.batch({"text": "a" * 20_000}, 2)).json()["items"]]
        previews = await several(lambda: target.preview({"text": "a" * 20_000}), 3)
    assert {item["status"] for item in items} == previews == {422}
    assert any("variables_schema" in item["errors"][0]["detail"] for item in items)


async def test_a_flood_of_slow_previews_stops_nobody(target: Target) -> None:
    assert (await target.save({}, SLOW)).status_code in (201, 422)
    async with harmless(target):
        assert await several(lambda: target.preview({}), 80) <= {422, 429}
