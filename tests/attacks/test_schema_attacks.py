"""Send schemas, payloads and templates whose checks and renders take far longer than their size suggests."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from domain.json_types import Json
from tests.api_tenants import ApiTenant
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


@pytest.fixture
async def tenant(attacker: ApiTenant) -> ApiTenant:
    """Return a tenant with one type over SMS."""
    await attacker.put_type("news", ["sms"])
    await attacker.put_recipient(phone="+447700900123")
    return attacker


async def save(tenant: ApiTenant, schema: Json, body: str = "Hi") -> httpx2.Response:
    return await tenant.post_template("news", "sms", body, variables_schema=schema)


async def preview(tenant: ApiTenant, payload: Json) -> httpx2.Response:
    return await tenant.http.post("/templates/news/preview", json={"channel": "sms", "payload": payload})


async def send(tenant: ApiTenant, payload: Json, times: int) -> list[Json]:
    body = {"notification_type": "news", "recipient_id": "ada", "payload": payload}
    return await tenant.send_batch(*[body] * times)


async def several(call: Callable[[], Awaitable[httpx2.Response]], times: int) -> set[int]:
    return {response.status_code for response in await asyncio.gather(*(call() for _ in range(times)))}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_the_api_stays_responsive_during_a_hostile_schema(
    attack_monitor: AttackMonitor, tenant: ApiTenant, name: str
) -> None:
    payload = {f"k{n}": n for n in range(100)}
    async with attack_monitor.watching():
        statuses = await several(lambda: save(tenant, SCHEMAS[name]), 4)
        await asyncio.gather(*(send(tenant, payload, 50) for _ in "12"))
        statuses |= await several(lambda: preview(tenant, payload), 4)
    assert statuses <= {200, 201, 202, 422}


async def test_the_api_stays_responsive_during_heavy_payloads(attack_monitor: AttackMonitor, tenant: ApiTenant) -> None:
    assert (await save(tenant, HEAVY)).status_code == 201
    async with attack_monitor.watching():
        large = await send(tenant, {"rows": ["x"] * 19_000}, 4)
        small = await send(tenant, {"rows": ["x"] * 100}, 100)
    assert {item["status"] for item in large} == {422}
    assert {item["status"] for item in small} == {202, 422}  # above the work limit of the request


async def test_the_api_stays_responsive_during_backtracking_patterns(
    attack_monitor: AttackMonitor, tenant: ApiTenant
) -> None:
    assert (await save(tenant, BACKTRACKING)).status_code == 201
    async with attack_monitor.watching():
        items = [item for _ in range(3) for item in await send(tenant, {"text": "a" * 20_000}, 2)]
        previews = await several(lambda: preview(tenant, {"text": "a" * 20_000}), 3)
    assert {item["status"] for item in items} == previews == {422}
    assert any("variables_schema" in item["errors"][0]["detail"] for item in items)


async def test_the_api_stays_responsive_during_slow_previews(attack_monitor: AttackMonitor, tenant: ApiTenant) -> None:
    assert (await save(tenant, {}, SLOW)).status_code in (201, 422)
    async with attack_monitor.watching():
        assert await several(lambda: preview(tenant, {}), 80) <= {422, 429}
