"""Test payload checks over the API: what is rejected, how often a child process is called, and the result of a stopped
check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bootstrap import Container
from domain.json_types import Json
from rendering import pool, schema_bounds, schema_checks
from rendering.failures import TOO_SLOW
from rendering.messages import RenderFailure
from rendering.renderer import Renderer
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.polling import eventually

pytestmark = pytest.mark.postgres

PLAIN = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
# A keyword that only the child process supports.
NEEDS_NAME = {**PLAIN, "minProperties": 0}


@asynccontextmanager
async def open_payload_tenant(container: Container, email: Json, sms: Json) -> AsyncIterator[ApiTenant]:
    """Open a tenant with one type for email and SMS, with a schema for each."""
    async with open_in_process_tenant(container) as payload_tenant:
        for channel, schema in (("email", email), ("sms", sms)):
            await payload_tenant.add_template("news", channel, "Hi", variables_schema=schema, subject_template=None)
        body = {"templates": {"email": "news", "sms": "news"}, "route": [{"channels": ["email", "sms"]}]}
        await payload_tenant.call("PUT", "/notification-types/news", body)
        await payload_tenant.put_recipient(email="ada@example.com")
        yield payload_tenant


@pytest.fixture
async def payload_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    async with open_payload_tenant(container, NEEDS_NAME, dict(NEEDS_NAME)) as payload_tenant:
        yield payload_tenant


def news(payload: Json) -> Json:
    return {"notification_type": "news", "recipient_id": "ada", "payload": payload}


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


async def test_channels_with_equal_schemas_cost_one_call(payload_tenant: ApiTenant, calls: list[int]) -> None:
    assert (await payload_tenant.post_send(news({"name": "Ada"}))).status_code == 202
    assert validation_errors(await payload_tenant.post_send(news({}))) == {"/payload/name": "is required"}
    assert calls == [1, 1]


async def test_a_batch_costs_one_call_per_schema(container: Container, calls: list[int]) -> None:
    other = {"properties": {"name": {"maxLength": 3}}, "minProperties": 0}
    async with open_payload_tenant(container, NEEDS_NAME, other) as payload_tenant:
        items = await payload_tenant.send_batch(
            *(news({"name": "Ada" if n % 2 else "Grace"}) for n in range(40)), news({})
        )
    assert calls == [41, 41]
    assert [item["status"] for item in items] == [202 if n % 2 else 422 for n in range(40)] + [422]
    assert items[0]["errors"] == [{"pointer": "/payload/name", "detail": "is longer than 3 characters"}]


async def test_a_schema_that_accepts_everything_costs_no_call(container: Container, calls: list[int]) -> None:
    async with open_payload_tenant(container, {}, {"title": "News"}) as payload_tenant:
        assert (await payload_tenant.post_send(news({"any": ["thing"]}))).status_code == 202
    assert calls == []


async def test_a_valid_payload_costs_no_call_for_a_plain_schema(container: Container, calls: list[int]) -> None:
    async with open_payload_tenant(container, PLAIN, {}) as payload_tenant:
        assert (await payload_tenant.post_send(news({"name": "Ada"}))).status_code == 202
        assert calls == []
        assert validation_errors(await payload_tenant.post_send(news({"name": 7}))) == {
            "/payload/name": "must be of type string"
        }
    assert calls == [1]


async def test_a_check_beyond_the_work_budget_is_refused_alone(
    payload_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_checks, "REQUEST_WORK_LIMIT", 50)
    items = await payload_tenant.send_batch(*[news({"name": "Ada"})] * 9)
    taken = [item["status"] for item in items].count(202)
    assert 0 < taken < 9
    assert [item["status"] for item in items] == [202] * taken + [422] * (9 - taken)
    assert items[-1]["errors"] == [{"pointer": "/payload", "detail": schema_checks.SMALLER_BATCH}]


async def test_large_payloads_against_a_large_schema_are_refused(container: Container) -> None:
    schema = {"properties": {"rows": {"items": {"enum": [f"{n:09}" for n in range(4_000)]}}}}
    async with open_payload_tenant(container, schema, {}) as payload_tenant:
        items = await payload_tenant.send_batch(*[news({"rows": ["x"] * 9_000})] * 4)
        single = validation_errors(await payload_tenant.post_send(news({"rows": ["x"] * 9_000})))
    assert single == {"/payload": schema_checks.TOO_MUCH_WORK}
    assert f"{schema_bounds.PAYLOAD_WORK_LIMIT:,}" in schema_checks.TOO_MUCH_WORK
    assert [item["status"] for item in items] == [422] * 4


async def test_a_check_that_was_stopped_is_a_422_and_no_row(
    payload_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(*_: Any, **__: Any) -> RenderFailure:
        return RenderFailure(reason=TOO_SLOW)

    monkeypatch.setattr(Renderer, "check_payloads", stopped)
    why = {"/payload": "checking the payload against the variables_schema took longer than 1 s"}
    assert validation_errors(await payload_tenant.post_send(news({"name": "Ada"}))) == why
    assert [item["status"] for item in await payload_tenant.send_batch(*[news({"name": "Ada"})] * 2)] == [422, 422]
    preview = {"channel": "email", "payload": {"name": "Ada"}}
    assert validation_errors(await payload_tenant.http.post("/templates/news/preview", json=preview)) == why
    assert (await payload_tenant.http.get("/notifications")).json()["items"] == []


async def test_a_schema_that_hides_its_cost_is_refused_when_it_is_saved(payload_tenant: ApiTenant) -> None:
    steps: Json = {f"a{n}": {"allOf": [{"$ref": f"#/%24defs/a{n + 1}"}] * 2} for n in range(27)}
    decoy = {f"a{n}": True for n in range(28)}
    schema = {"$ref": "#/%24defs/a0", "$defs": {**steps, "a27": {"type": "string"}}, "%24defs": decoy}
    saved = await payload_tenant.post_template("news", "email", "Hi", variables_schema=schema)
    [(pointer, detail)] = validation_errors(saved).items()
    assert pointer == "/variables_schema/$defs/a0/allOf/0/$ref"
    assert "plain pointer" in detail


async def test_a_tenant_with_too_many_waiting_calls_gets_a_retry_after(
    container: Container, payload_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container.renderer._pool._queue, "_limit", 1)
    slow = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    await payload_tenant.add_template("news", "email", slow, subject_template=None)
    preview = {"channel": "email", "payload": {}}
    previews = [
        asyncio.create_task(payload_tenant.http.post("/templates/news/preview", json=preview)) for _ in range(2)
    ]
    await eventually(lambda: _waiting(container.renderer._pool), bool)
    refused = await payload_tenant.post_send(news({"name": "Ada"}))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["type"] == "urn:tocsin:problem:too-many-requests"
    async with open_payload_tenant(container, NEEDS_NAME, {}) as other:
        assert (await other.post_send(news({"name": "Ada"}))).status_code == 202
    assert {response.status_code for response in await asyncio.gather(*previews)} == {422}


async def _waiting(own: pool.ProcessPool) -> int:
    return len(own._queue._waiting)
