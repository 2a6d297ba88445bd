"""Send schemas, payloads and templates whose checks and renders take far longer than their size suggests."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from httpx2 import AsyncClient

from domain.json_types import Json
from tests.attacks.attack_monitor import AttackMonitor

pytestmark = pytest.mark.postgres


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


class SchemaClient:
    """Hold a tenant with one type over SMS."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def save(self, schema: Json, body: str = "Hi") -> httpx2.Response:
        place = {"name": "news", "channel": "sms", "language": "en"}
        given = {"body_template": body, "variables_schema": schema, "publish": True}
        return await self.client.post("/templates", json={**place, **given})

    async def batch(self, payload: Json, items: int) -> httpx2.Response:
        send = {"notification_type": "news", "recipient_id": "ada", "payload": payload}
        return await self.client.post("/notifications/send-batch", json={"items": [send] * items})

    async def preview(self, payload: Json) -> httpx2.Response:
        return await self.client.post("/templates/news/preview", json={"channel": "sms", "payload": payload})


@pytest.fixture
async def tenant(attacker: AsyncClient) -> SchemaClient:
    tenant = SchemaClient(attacker)
    assert (await tenant.save({})).status_code == 201
    kind = {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
    assert (await attacker.put("/notification-types/news", json=kind)).status_code < 300
    assert (await attacker.put("/recipients/ada", json={"phone": "+447700900123"})).status_code < 300
    return tenant


async def several(call: Callable[[], Awaitable[httpx2.Response]], times: int) -> set[int]:
    return {response.status_code for response in await asyncio.gather(*(call() for _ in range(times)))}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_the_api_stays_responsive_during_a_hostile_schema(
    attack_monitor: AttackMonitor, tenant: SchemaClient, name: str
) -> None:
    payload = {f"k{n}": n for n in range(100)}
    async with attack_monitor.watching():
        statuses = await several(lambda: tenant.save(SCHEMAS[name]), 4)
        statuses |= await several(lambda: tenant.batch(payload, 50), 2)
        statuses |= await several(lambda: tenant.preview(payload), 4)
    assert statuses <= {200, 201, 202, 422}


async def test_the_api_stays_responsive_during_heavy_payloads(
    attack_monitor: AttackMonitor, tenant: SchemaClient
) -> None:
    assert (await tenant.save(HEAVY)).status_code == 201
    async with attack_monitor.watching():
        large = await tenant.batch({"rows": ["x"] * 19_000}, 4)
        small = await tenant.batch({"rows": ["x"] * 100}, 100)
    assert {item["status"] for item in large.json()["items"]} == {422}
    assert {item["status"] for item in small.json()["items"]} == {202, 422}  # above the work limit of the request


async def test_the_api_stays_responsive_during_backtracking_patterns(
    attack_monitor: AttackMonitor, tenant: SchemaClient
) -> None:
    assert (await tenant.save(BACKTRACKING)).status_code == 201
    async with attack_monitor.watching():
        items = [item for _ in range(3) for item in (await tenant.batch({"text": "a" * 20_000}, 2)).json()["items"]]
        previews = await several(lambda: tenant.preview({"text": "a" * 20_000}), 3)
    assert {item["status"] for item in items} == previews == {422}
    assert any("variables_schema" in item["errors"][0]["detail"] for item in items)


async def test_the_api_stays_responsive_during_slow_previews(
    attack_monitor: AttackMonitor, tenant: SchemaClient
) -> None:
    assert (await tenant.save({}, SLOW)).status_code in (201, 422)
    async with attack_monitor.watching():
        assert await several(lambda: tenant.preview({}), 80) <= {422, 429}
