"""Check that a tenant's slow templates fail with a reason and do not delay the messages of other tenants."""

import asyncio
from typing import Any

import httpx2
import pytest

from rendering.fair_queue import FairQueue, TenantId
from rendering.pool import ProcessPool
from rendering.process import ChildProcess
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine
from tests.polling import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

SLOW_LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
TEMPLATES = 2
SENDS, PREVIEWS = 4, 12


def record_turns(monkeypatch: pytest.MonkeyPatch, late: TenantId) -> list[tuple[TenantId, int]]:
    """Return a list that gets the tenant of each call, when it gets a child, and how many others overtook it.

    Calls of `late` begin to wait behind ten others.
    """
    acquire, turns = ProcessPool.acquire, list[tuple[TenantId, int]]()

    async def record_turn(self: ProcessPool, tenant: TenantId) -> ChildProcess:
        if tenant == late:
            await wait_until(lambda: self.waiting >= 10)
        served = len(turns)
        process = await acquire(self, tenant)
        turns.append((tenant, len(turns) - served))
        return process

    monkeypatch.setattr(ProcessPool, "acquire", record_turn)
    return turns


async def put_slow_types(api_tenant: ApiTenant) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    for number in range(TEMPLATES):
        await api_tenant.put_type(f"slow-{number}", ["email"], template={"body": f"{number}{SLOW_LOOP}"})


async def start_flood(api_tenant: ApiTenant) -> tuple[list[str], list["asyncio.Task[httpx2.Response]"]]:
    """Preview the slow templates, and send notifications with them."""
    preview = {"channel": "email", "payload": {"name": "Ada"}}
    previews = [
        asyncio.create_task(
            api_tenant.http.post(f"/templates/slow-{number % TEMPLATES}/preview", json=preview, timeout=60)
        )
        for number in range(PREVIEWS)
    ]
    return [await api_tenant.send(f"slow-{number % TEMPLATES}") for number in range(SENDS)], previews


async def test_floods_of_slow_templates_do_not_delay_another_tenant(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tenants occupy both children, so that the third depends on the order of the queue."""
    async with open_api_tenant(engine) as flooding, open_api_tenant(engine) as other:
        await other.put_type("password", ["sms"])
        await other.put_recipient("ada", phone="+447700900123")
        for tenant in (api_tenant, flooding):
            await put_slow_types(tenant)
        turns = record_turns(monkeypatch, other.tenant)
        password = await other.send("password")
        (ids, previews), (_, more) = await asyncio.gather(start_flood(api_tenant), start_flood(flooding))
        await other.wait_for_end(password, "DELIVERED")
        [overtaking] = [number for tenant, number in turns if tenant == other.tenant]
        # One call of each flood is served first, and a child may change hands before the call's turn is recorded.
        assert overtaking <= 4
        assert {(await preview).status_code for preview in (*previews, *more)} <= {422, 429}
        for id in ids:
            ended = await api_tenant.wait_until_finished(id, within=120)
            assert ended["failure_reason"].startswith("email: template_error: ")


async def test_sends_are_rendered_later_when_the_queue_is_full(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = []
    remove_surplus = FairQueue.remove_surplus

    def record_removed(*args: Any) -> Any:
        removed.append(remove_surplus(*args))
        return removed[-1]

    monkeypatch.setattr(FairQueue, "remove_surplus", record_removed)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.add_template(
        "news", "email", "{% for a in range(2000) %}{% for b in range(999) %}{% endfor %}{% endfor %}."
    )
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    monkeypatch.setattr(engine.container.renderer._pool._queue, "_limit", 0)
    body = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    response = await api_tenant.call("POST", "/notifications/send-batch", {"items": [body] * 3})
    for item in response["items"]:
        await api_tenant.wait_for_end(item["id"], "SENT")
    assert any(removed)
