"""Test payload checks over the API: what is rejected, how often a child process is called, and the result of a stopped
check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from bootstrap import Container
from domain.json_types import Json
from rendering import pool, schema_bounds, schema_checks
from rendering.failures import TOO_SLOW
from rendering.messages import RenderFailure
from rendering.renderer import Renderer
from tests.api_tenants import open_in_process_tenant
from tests.polling import eventually

pytestmark = pytest.mark.postgres

PLAIN = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
# A keyword that only the child process supports.
NEEDS_NAME = {**PLAIN, "minProperties": 0}


class PayloadClient:
    """A tenant with one type for email and SMS."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def template(self, channel: str, schema: Json, body: str = "Hi") -> httpx2.Response:
        place = {"name": "news", "channel": channel, "language": "en"}
        given = {"body_template": body, "variables_schema": schema, "publish": True}
        return await self.http.post("/templates", json={**place, **given})

    async def send(self, payload: Json) -> httpx2.Response:
        body = {"notification_type": "news", "recipient_id": "ada", "payload": payload}
        return await self.http.post("/notifications/send", json=body)

    async def batch(self, *payloads: Json) -> list[Json]:
        sends = [{"notification_type": "news", "recipient_id": "ada", "payload": payload} for payload in payloads]
        response = await self.http.post("/notifications/send-batch", json={"items": sends})
        assert response.status_code == 202, response.text
        items: list[Json] = response.json()["items"]
        return items


@asynccontextmanager
async def open_payload_client(container: Container, email: Json, sms: Json) -> AsyncIterator[PayloadClient]:
    async with open_in_process_tenant(container) as api_tenant:
        payload_client = PayloadClient(api_tenant.http)
        for channel, schema in (("email", email), ("sms", sms)):
            saved = await payload_client.template(channel, schema)
            assert saved.status_code == 201, saved.text
        await api_tenant.put_type(
            "news", templates={"email": "news", "sms": "news"}, route=[{"channels": ["email", "sms"]}]
        )
        await api_tenant.put_recipient(email="ada@example.com")
        yield payload_client


@pytest.fixture
async def payload_client(container: Container) -> AsyncIterator[PayloadClient]:
    async with open_payload_client(container, NEEDS_NAME, dict(NEEDS_NAME)) as payload_client:
        yield payload_client


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of payloads of each call to a child process."""
    made: list[int] = []
    real = Renderer.check_payloads

    async def counted(self: Renderer, schema: Any, payloads: Any, **more: Any) -> Any:
        made.append(len(payloads))
        return await real(self, schema, payloads, **more)

    monkeypatch.setattr(Renderer, "check_payloads", counted)
    return made


def details(response: httpx2.Response) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return [(error["pointer"], error["detail"]) for error in response.json()["errors"]]


async def test_channels_with_equal_schemas_cost_one_call(payload_client: PayloadClient, calls: list[int]) -> None:
    assert (await payload_client.send({"name": "Ada"})).status_code == 202
    assert details(await payload_client.send({})) == [("/payload/name", "is required")]
    assert calls == [1, 1]


async def test_a_batch_costs_one_call_per_schema(container: Container, calls: list[int]) -> None:
    other = {"properties": {"name": {"maxLength": 3}}, "minProperties": 0}
    async with open_payload_client(container, NEEDS_NAME, other) as payload_client:
        items = await payload_client.batch(*({"name": "Ada"} if n % 2 else {"name": "Grace"} for n in range(40)), {})
    assert calls == [41, 41]
    assert [item["status"] for item in items] == [202 if n % 2 else 422 for n in range(40)] + [422]
    assert items[0]["errors"] == [{"pointer": "/payload/name", "detail": "is longer than 3 characters"}]


async def test_a_schema_that_accepts_everything_costs_no_call(container: Container, calls: list[int]) -> None:
    async with open_payload_client(container, {}, {"title": "News"}) as payload_client:
        assert (await payload_client.send({"any": ["thing"]})).status_code == 202
    assert calls == []


async def test_a_valid_payload_costs_no_call_for_a_plain_schema(container: Container, calls: list[int]) -> None:
    async with open_payload_client(container, PLAIN, {}) as payload_client:
        assert (await payload_client.send({"name": "Ada"})).status_code == 202
        assert calls == []
        assert details(await payload_client.send({"name": 7})) == [("/payload/name", "must be of type string")]
    assert calls == [1]


async def test_a_check_beyond_the_work_budget_is_refused_alone(
    payload_client: PayloadClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_checks, "REQUEST_WORK_LIMIT", 50)
    items = await payload_client.batch(*[{"name": "Ada"}] * 9)
    taken = [item["status"] for item in items].count(202)
    assert 0 < taken < 9
    assert [item["status"] for item in items] == [202] * taken + [422] * (9 - taken)
    assert items[-1]["errors"] == [{"pointer": "/payload", "detail": schema_checks.SMALLER_BATCH}]


async def test_large_payloads_against_a_large_schema_are_refused(container: Container) -> None:
    schema = {"properties": {"rows": {"items": {"enum": [f"{n:09}" for n in range(4_000)]}}}}
    async with open_payload_client(container, schema, {}) as payload_client:
        items = await payload_client.batch(*[{"rows": ["x"] * 9_000}] * 4)
        single = details(await payload_client.send({"rows": ["x"] * 9_000}))
    assert single == [("/payload", schema_checks.TOO_MUCH_WORK)]
    assert f"{schema_bounds.PAYLOAD_WORK_LIMIT:,}" in schema_checks.TOO_MUCH_WORK
    assert [item["status"] for item in items] == [422] * 4


async def test_a_check_that_was_stopped_is_a_422_and_no_row(
    payload_client: PayloadClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(*_: Any, **__: Any) -> RenderFailure:
        return RenderFailure(reason=TOO_SLOW)

    monkeypatch.setattr(Renderer, "check_payloads", stopped)
    why = ("/payload", "checking the payload against the variables_schema took longer than 1 s")
    assert details(await payload_client.send({"name": "Ada"})) == [why]
    assert [item["status"] for item in await payload_client.batch({"name": "Ada"}, {"name": "Ada"})] == [422, 422]
    preview = {"channel": "email", "payload": {"name": "Ada"}}
    assert details(await payload_client.http.post("/templates/news/preview", json=preview)) == [why]
    assert (await payload_client.http.get("/notifications")).json()["items"] == []


async def test_a_schema_that_hides_its_cost_is_refused_when_it_is_saved(payload_client: PayloadClient) -> None:
    steps: Json = {f"a{n}": {"allOf": [{"$ref": f"#/%24defs/a{n + 1}"}] * 2} for n in range(27)}
    decoy = {f"a{n}": True for n in range(28)}
    schema = {"$ref": "#/%24defs/a0", "$defs": {**steps, "a27": {"type": "string"}}, "%24defs": decoy}
    [(pointer, detail)] = details(await payload_client.template("email", schema))
    assert pointer == "/variables_schema/$defs/a0/allOf/0/$ref"
    assert "plain pointer" in detail


async def test_a_tenant_with_too_many_waiting_calls_gets_a_retry_after(
    container: Container, payload_client: PayloadClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container.renderer._pool._queue, "_limit", 1)
    slow = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert (await payload_client.template("email", {}, slow)).status_code == 201
    preview = {"channel": "email", "payload": {}}
    previews = [
        asyncio.create_task(payload_client.http.post("/templates/news/preview", json=preview)) for _ in range(2)
    ]
    await eventually(lambda: _waiting(container.renderer._pool), bool)
    refused = await payload_client.send({"name": "Ada"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["type"] == "urn:tocsin:problem:too-many-requests"
    async with open_payload_client(container, NEEDS_NAME, {}) as other:
        assert (await other.send({"name": "Ada"})).status_code == 202
    assert {response.status_code for response in await asyncio.gather(*previews)} == {422}


async def _waiting(own: pool.ProcessPool) -> int:
    return len(own._queue._waiting)
