"""A provider's rate, held over three worker processes; a tenant's share of it; and a vendor that wants no calls at all.

By the vendor's own ledger. The workers' settings say three calls a second; what an operator says meanwhile counts.
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
from testing.installation import running_api
from tests.engine import ApiTenant, Engine, engine_servers, open_api_tenant
from tests.faults.pace import wait_seconds
from tests.installation_keys import installation_key
from tests.polling import eventually
from tests.stories.vendors import CountingSendGrid, VendorCall, environment, vendors
from tests.stories.workers import WorkerGroup, worker_processes

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

SETTING = 3
FLOOD = 260
QUIET = 4


@dataclass(frozen=True, kw_only=True)
class RateLimitedStack:
    engine: Engine
    vendor: CountingSendGrid
    workers: WorkerGroup

    def calls(self, since: float, to: str = "") -> list[VendorCall]:
        return [call for call in self.vendor.ledger if call.at >= since and call.to.startswith(to)]

    async def called(self, count: int, since: float, to: str = "", within: float = 30) -> None:
        async def made() -> int:
            return len(self.calls(since, to))

        await eventually(made, lambda seen: seen >= count, within)

    def a_second(self, since: float, seconds: int, to: str = "") -> list[int]:
        """How many calls in each of so many seconds."""
        counted = Counter(int(call.at - since) for call in self.calls(since, to))
        return [counted[second] for second in range(seconds)]

    async def pollers(self) -> set[int]:
        """The processes that take calls of this provider."""
        request = DescribeTaskQueueRequest(
            namespace=self.engine.temporal.namespace,
            task_queue=TaskQueue(name=delivery_queue("sendgrid")),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        told = await self.engine.temporal.workflow_service.describe_task_queue(request)
        return {int(poller.identity.partition("@")[0]) for poller in told.pollers}


@pytest.fixture(scope="module")
async def rate_limited_stack(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RateLimitedStack]:
    """An API with the dispatcher that leads, and three workers."""
    home = tmp_path_factory.mktemp("rates")
    with pytest.MonkeyPatch.context() as patch:
        async with vendors() as (web, mail):
            for name, value in environment(web, mail).items():
                patch.setenv(name, value)
            patch.setenv("TOCSIN_SENDGRID_RATE", str(SETTING))
            async with standing(database_url, home, web) as rate_limited_stack:
                yield rate_limited_stack


@asynccontextmanager
async def standing(database_url: str, home: Path, vendor: CountingSendGrid) -> AsyncIterator[RateLimitedStack]:
    async with (
        engine_servers(database_url, home, email_providers=["sendgrid"]) as (settings, client),
        open_container(settings, client=client) as container,
        running_api(container),
        worker_processes(settings, home) as workers,
    ):
        await workers.start("worker-1", "worker-2", "worker-3")
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
    people = [f"{name}-{number}" for number in range(count)]
    items = [
        {
            "notification_type": "news",
            "recipient": {"recipient_id": person, "email": f"{person}@example.com"},
            "payload": {"name": "Ada"},
        }
        for person in people
    ]
    return [
        item["id"] for item in (await api_tenant.call("POST", "/notifications/send-batch", {"items": items}))["items"]
    ]


async def planned(api_tenant: ApiTenant) -> int:
    """How many wait for nothing but their turn at the provider."""
    statement = text("SELECT count(*) FROM delivery WHERE tenant = :tenant AND rendered_content IS NOT NULL")
    async with api_tenant.engine.container.database.transaction() as session:
        return int((await session.execute(statement, {"tenant": api_tenant.tenant})).scalar_one())


async def operate(api_tenant: ApiTenant, **changes: float | None) -> dict[str, Any]:
    key = await installation_key(api_tenant.engine.container.database, "operate")
    headers = {"Authorization": f"Bearer {key}"}
    answer = await api_tenant.http.patch("/providers/sendgrid", json=changes, headers=headers)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


@pytest.mark.long
async def test_a_rate_set_at_run_time_limits_three_workers_together(
    rate_limited_stack: RateLimitedStack, busy_tenant: ApiTenant
) -> None:
    """All the while each worker tells its own setting with every poll, which must not take the rate back."""
    began = monotonic()
    await send(busy_tenant, FLOOD, "flood")
    await eventually(partial(planned, busy_tenant), lambda seen: seen == FLOOD)
    await eventually(rate_limited_stack.pollers, lambda seen: seen == rate_limited_stack.workers.pids)
    assert 0 < len(rate_limited_stack.calls(began)) < FLOOD / 2
    assert (await operate(busy_tenant, rate=20))["rate"] == 20
    looked = monotonic()
    # The change is in force somewhere within the first second, and the server may have saved up a burst until then.
    await wait_seconds(7.1)
    counts = rate_limited_stack.a_second(looked, 7)[1:]
    assert 18 <= sum(counts) / len(counts) <= 22, counts
    await operate(busy_tenant, rate=0)
    await rate_limited_stack.called(FLOOD, since=began)
    assert set(rate_limited_stack.vendor.kept.values()) == {1}


@pytest.mark.long
async def test_each_tenant_is_held_to_its_rate_and_delays_no_other(
    rate_limited_stack: RateLimitedStack, busy_tenant: ApiTenant, other_api_tenant: ApiTenant
) -> None:
    assert (await operate(busy_tenant, rate=0, tenant_rate=5))["tenant_rate"] == 5
    began = monotonic()
    await send(busy_tenant, 80, "busy")
    await rate_limited_stack.called(10, since=began, to="busy")
    looked = monotonic()
    await send(other_api_tenant, 3, "calm")
    await rate_limited_stack.called(3, since=looked, to="calm", within=3)
    await wait_seconds(looked + 6.1 - monotonic())
    counts = rate_limited_stack.a_second(looked, 6, "busy")[1:]
    assert 4 <= sum(counts) / len(counts) <= 6, counts
    await operate(busy_tenant, tenant_rate=None)
    await rate_limited_stack.called(80, since=began, to="busy")


async def test_a_rate_limiting_vendor_gets_no_call_until_its_retry_after(
    rate_limited_stack: RateLimitedStack, busy_tenant: ApiTenant
) -> None:
    await operate(busy_tenant, rate=20)
    began = monotonic()
    rate_limited_stack.vendor.status, rate_limited_stack.vendor.headers = 429, {"retry-after": str(QUIET)}
    ids = await send(busy_tenant, 80, "many")
    refused = await eventually(lambda: silence(rate_limited_stack, began), bool)
    rate_limited_stack.vendor.status, rate_limited_stack.vendor.headers = 202, {}
    last = refused[-1].at
    shown = [await busy_tenant.wait_until_finished(id) for id in ids]
    assert {each["status"] for each in shown} == {"SENT"}
    after = [call for call in rate_limited_stack.calls(began) if call.at > last]
    assert after[0].at - last >= QUIET - 0.2
    # Whom it was not told to wait for was not called: no attempt was used up.
    assert len(refused) + len(after) == sum(len(each["deliveries"][0]["attempts"]) for each in shown)
    assert (len(after), len(refused) < len(ids) / 2) == (len(ids), True)
    reasons = {entry["reason"] for each in shown for entry in each["timeline"] if entry["kind"] == "held"}
    assert reasons == {"provider_throttled (sendgrid)"}


async def silence(rate_limited_stack: RateLimitedStack, began: float) -> list[VendorCall]:
    """The calls so far, once there has been none for a second and a half."""
    calls = rate_limited_stack.calls(began)
    return calls if calls and monotonic() - calls[-1].at > 1.5 else []
