"""Check a provider's rate over several worker processes, a tenant's share of it, and a vendor that allows no calls.

The vendor's log of calls is the evidence. The workers' setting is three calls a second. A rate that an operator sets at
run time takes precedence.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from bootstrap import open_container
from domain.names import delivery_queue
from faults.pace import wait_seconds
from testing.installation import running_api
from testing.vendors.http import Reply
from testing.vendors.log import VendorCall
from testing.vendors.sendgrid import FakeSendGrid
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine, engine_servers
from tests.installation_keys import installation_key
from tests.polling import eventually
from tests.stories.vendors import run_vendors, vendor_environment
from tests.stories.workers import WorkerGroup, open_worker_group

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CONFIGURED_RATE = 3
FLOOD_SIZE = 260
RETRY_AFTER = 4


@dataclass(frozen=True, kw_only=True)
class RateLimitedStack:
    engine: Engine
    vendor: FakeSendGrid
    workers: WorkerGroup

    def calls_since(self, since: float, to: str = "") -> list[VendorCall]:
        calls = self.vendor.log.calls
        return [call for call in calls if call.at >= since and call.message and call.message.to.startswith(to)]

    async def wait_for_calls(self, count: int, since: float, to: str = "", within: float = 30) -> None:
        async def list_calls() -> list[VendorCall]:
            return self.calls_since(since, to)

        await eventually(list_calls, lambda calls: len(calls) >= count, within)

    def calls_per_second(self, since: float, seconds: int, to: str = "") -> list[int]:
        """Return the number of calls in each of the first seconds."""
        counted = Counter(int(call.at - since) for call in self.calls_since(since, to))
        return [counted[second] for second in range(seconds)]

    async def list_poller_pids(self) -> set[int]:
        """Return the processes that poll for calls of this provider."""
        request = DescribeTaskQueueRequest(
            namespace=self.engine.temporal.namespace,
            task_queue=TaskQueue(name=delivery_queue("sendgrid")),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        queue = await self.engine.temporal.workflow_service.describe_task_queue(request)
        return {int(poller.identity.partition("@")[0]) for poller in queue.pollers}


@pytest.fixture(scope="module")
async def rate_limited_stack(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RateLimitedStack]:
    """Run an API whose dispatcher is the leader, and two workers."""
    home = tmp_path_factory.mktemp("rates")
    with pytest.MonkeyPatch.context() as patch:
        async with run_vendors() as (sendgrid, mail):
            for name, value in vendor_environment(sendgrid, mail).items():
                patch.setenv(name, value)
            patch.setenv("TOCSIN_SENDGRID_RATE", str(CONFIGURED_RATE))
            async with run_stack(database_url, home, sendgrid) as rate_limited_stack:
                yield rate_limited_stack


@asynccontextmanager
async def run_stack(database_url: str, home: Path, vendor: FakeSendGrid) -> AsyncIterator[RateLimitedStack]:
    async with (
        engine_servers(database_url, home, email_providers=["sendgrid"]) as (settings, client),
        open_container(settings, client=client) as container,
        running_api(container),
        open_worker_group(settings, home) as workers,
    ):
        await workers.start("worker-1", "worker-2")
        engine = Engine(container=container, temporal_address=settings.temporal_address)
        yield RateLimitedStack(engine=engine, vendor=vendor, workers=workers)


@pytest.fixture
async def busy_tenant(rate_limited_stack: RateLimitedStack) -> AsyncIterator[ApiTenant]:
    async with open_api_tenant(rate_limited_stack.engine) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        yield api_tenant


@pytest.fixture
async def other_api_tenant(rate_limited_stack: RateLimitedStack) -> AsyncIterator[ApiTenant]:
    async with open_api_tenant(rate_limited_stack.engine) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        yield api_tenant


async def send(api_tenant: ApiTenant, count: int, name: str) -> list[str]:
    recipient_ids = [f"{name}-{number}" for number in range(count)]
    items = [
        {
            "notification_type": "news",
            "recipient": {"recipient_id": recipient_id, "email": f"{recipient_id}@example.com"},
            "payload": {"name": "Ada"},
        }
        for recipient_id in recipient_ids
    ]
    return [
        item["id"] for item in (await api_tenant.call("POST", "/notifications/send-batch", {"items": items}))["items"]
    ]


async def count_planned(api_tenant: ApiTenant) -> int:
    """Return the number of deliveries that wait only for a slot at the provider."""
    statement = text("SELECT count(*) FROM delivery WHERE tenant = :tenant AND rendered_content IS NOT NULL")
    async with api_tenant.engine.container.database.transaction() as session:
        return int((await session.execute(statement, {"tenant": api_tenant.tenant})).scalar_one())


async def patch_provider(api_tenant: ApiTenant, **changes: float | None) -> dict[str, Any]:
    key = await installation_key(api_tenant.engine.container.database, "operate")
    headers = {"Authorization": f"Bearer {key}"}
    response = await api_tenant.http.patch("/providers/sendgrid", json=changes, headers=headers)
    assert response.status_code == 200, response.text
    provider: dict[str, Any] = response.json()
    return provider


@pytest.mark.long
async def test_a_rate_set_at_run_time_limits_three_workers_together(
    rate_limited_stack: RateLimitedStack, busy_tenant: ApiTenant
) -> None:
    """Keep the operator's rate although each worker reports its own setting with every poll."""
    await rate_limited_stack.workers.start("worker-3")
    started = monotonic()
    await send(busy_tenant, FLOOD_SIZE, "flood")
    await eventually(partial(count_planned, busy_tenant), lambda count: count == FLOOD_SIZE)
    await eventually(rate_limited_stack.list_poller_pids, lambda pids: pids == rate_limited_stack.workers.pids)
    assert 0 < len(rate_limited_stack.calls_since(started)) < FLOOD_SIZE / 2
    assert (await patch_provider(busy_tenant, rate=20))["rate"] == 20
    changed_at = monotonic()
    # The change takes effect within the first second, and the server may have saved a burst until then.
    await wait_seconds(7.1)
    counts = rate_limited_stack.calls_per_second(changed_at, 7)[1:]
    assert 18 <= sum(counts) / len(counts) <= 22, counts
    await patch_provider(busy_tenant, rate=0)
    await rate_limited_stack.wait_for_calls(FLOOD_SIZE, since=started)
    assert set(rate_limited_stack.vendor.log.kept.values()) == {1}


@pytest.mark.long
async def test_a_tenant_at_its_rate_delays_no_other_tenant(
    rate_limited_stack: RateLimitedStack, busy_tenant: ApiTenant, other_api_tenant: ApiTenant
) -> None:
    assert (await patch_provider(busy_tenant, rate=0, tenant_rate=5))["tenant_rate"] == 5
    started = monotonic()
    await send(busy_tenant, 80, "busy")
    await rate_limited_stack.wait_for_calls(10, since=started, to="busy")
    changed_at = monotonic()
    await send(other_api_tenant, 3, "calm")
    await rate_limited_stack.wait_for_calls(3, since=changed_at, to="calm", within=3)
    await wait_seconds(changed_at + 6.1 - monotonic())
    counts = rate_limited_stack.calls_per_second(changed_at, 6, "busy")[1:]
    assert 4 <= sum(counts) / len(counts) <= 6, counts
    await patch_provider(busy_tenant, tenant_rate=None)
    await rate_limited_stack.wait_for_calls(80, since=started, to="busy")


async def test_a_vendor_that_returns_429_gets_no_call_until_its_retry_after(
    rate_limited_stack: RateLimitedStack, busy_tenant: ApiTenant
) -> None:
    await patch_provider(busy_tenant, rate=20)
    started = monotonic()
    rate_limited_stack.vendor.reply = Reply(status=429, headers={"Retry-After": str(RETRY_AFTER)})
    ids = await send(busy_tenant, 80, "many")
    refused = await eventually(lambda: list_calls_before_silence(rate_limited_stack, started), bool)
    rate_limited_stack.vendor.reply = None
    last_refusal = refused[-1].at
    notifications = [await busy_tenant.wait_until_finished(id) for id in ids]
    assert {notification["status"] for notification in notifications} == {"SENT"}
    after = [call for call in rate_limited_stack.calls_since(started) if call.at > last_refusal]
    assert after[0].at - last_refusal >= RETRY_AFTER - 0.2
    # A send that waits for the end of the throttle makes no call and uses no attempt.
    assert len(refused) + len(after) == sum(
        len(notification["deliveries"][0]["attempts"]) for notification in notifications
    )
    assert (len(after), len(refused) < len(ids) / 2) == (len(ids), True)
    entries = [entry for notification in notifications for entry in notification["timeline"]]
    assert {entry["reason"] for entry in entries if entry["kind"] == "held"} == {"provider_throttled (sendgrid)"}


async def list_calls_before_silence(rate_limited_stack: RateLimitedStack, started: float) -> list[VendorCall]:
    """Return the calls so far if there was none in the last second and a half, and otherwise no calls."""
    calls = rate_limited_stack.calls_since(started)
    return calls if calls and monotonic() - calls[-1].at > 1.5 else []
