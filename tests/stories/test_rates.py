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

from bootstrap import open_parts
from domain.names import delivery_queue
from testing.stage import serving
from tests.engine import Engine, Shop, open_shop, prepared
from tests.faults.pace import lasting
from tests.installation import installation_key
from tests.polling import eventually
from tests.stories.vendors import Called, SendGridStandIn, environment, vendors
from tests.stories.workers import Workers, worker_processes

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

SETTING = 3
FLOOD = 260
QUIET = 4


@dataclass(frozen=True, kw_only=True)
class Yard:
    engine: Engine
    vendor: SendGridStandIn
    workers: Workers

    def calls(self, since: float, to: str = "") -> list[Called]:
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
async def yard(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Yard]:
    """An API with the dispatcher that leads, and three workers."""
    home = tmp_path_factory.mktemp("rates")
    with pytest.MonkeyPatch.context() as patch:
        async with vendors() as (web, mail):
            for name, value in environment(web, mail).items():
                patch.setenv(name, value)
            patch.setenv("TOCSIN_SENDGRID_RATE", str(SETTING))
            async with standing(database_url, home, web) as yard:
                yield yard


@asynccontextmanager
async def standing(database_url: str, home: Path, vendor: SendGridStandIn) -> AsyncIterator[Yard]:
    async with (
        prepared(database_url, home, email_providers=["sendgrid"]) as (settings, client),
        open_parts(settings, client=client) as parts,
        serving(parts),
        worker_processes(settings, home) as workers,
    ):
        await workers.start("worker-1", "worker-2", "worker-3")
        engine = Engine(parts=parts, temporal_address=settings.temporal_address)
        yield Yard(engine=engine, vendor=vendor, workers=workers)


@pytest.fixture
async def customer(yard: Yard) -> AsyncIterator[Shop]:
    async with open_shop(yard.engine) as shop:
        await shop.type("news", ["email"])
        yield shop


@pytest.fixture
async def other(yard: Yard) -> AsyncIterator[Shop]:
    async with open_shop(yard.engine) as shop:
        await shop.type("news", ["email"])
        yield shop


async def send(shop: Shop, count: int, name: str) -> list[str]:
    people = [f"{name}-{number}" for number in range(count)]
    items = [
        {
            "notification_type": "news",
            "recipient": {"recipient_id": person, "email": f"{person}@example.com"},
            "payload": {"name": "Ada"},
        }
        for person in people
    ]
    return [item["id"] for item in (await shop.ok("POST", "/notifications/send-batch", {"items": items}))["items"]]


async def planned(shop: Shop) -> int:
    """How many wait for nothing but their turn at the provider."""
    statement = text("SELECT count(*) FROM delivery WHERE tenant = :tenant AND rendered_content IS NOT NULL")
    async with shop.engine.parts.database.transaction() as session:
        return int((await session.execute(statement, {"tenant": shop.tenant})).scalar_one())


async def operate(shop: Shop, **changes: float | None) -> dict[str, Any]:
    key = await installation_key(shop.engine.parts.database, "operate")
    headers = {"Authorization": f"Bearer {key}"}
    answer = await shop.http.patch("/providers/sendgrid", json=changes, headers=headers)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


@pytest.mark.long
async def test_twenty_a_second_set_meanwhile_are_twenty_over_three_workers(yard: Yard, customer: Shop) -> None:
    """All the while each worker tells its own setting with every poll, which must not take the rate back."""
    began = monotonic()
    await send(customer, FLOOD, "flood")
    await eventually(partial(planned, customer), lambda seen: seen == FLOOD)
    await eventually(yard.pollers, lambda seen: seen == yard.workers.pids)
    assert 0 < len(yard.calls(began)) < FLOOD / 2
    assert (await operate(customer, rate=20))["rate"] == 20
    looked = monotonic()
    # The change is in force somewhere within the first second, and the server may have saved up a burst until then.
    await lasting(7.1)
    counts = yard.a_second(looked, 7)[1:]
    assert 18 <= sum(counts) / len(counts) <= 22, counts
    await operate(customer, rate=0)
    await yard.called(FLOOD, since=began)
    assert set(yard.vendor.kept.values()) == {1}


@pytest.mark.long
async def test_each_tenant_is_held_to_its_rate_and_delays_no_other(yard: Yard, customer: Shop, other: Shop) -> None:
    assert (await operate(customer, rate=0, tenant_rate=5))["tenant_rate"] == 5
    began = monotonic()
    await send(customer, 80, "busy")
    await yard.called(10, since=began, to="busy")
    looked = monotonic()
    await send(other, 3, "calm")
    await yard.called(3, since=looked, to="calm", within=3)
    await lasting(looked + 6.1 - monotonic())
    counts = yard.a_second(looked, 6, "busy")[1:]
    assert 4 <= sum(counts) / len(counts) <= 6, counts
    await operate(customer, tenant_rate=None)
    await yard.called(80, since=began, to="busy")


async def test_a_vendor_that_says_too_many_gets_no_call_from_any_worker_until_it_wants_some(
    yard: Yard, customer: Shop
) -> None:
    await operate(customer, rate=20)
    began = monotonic()
    yard.vendor.status, yard.vendor.headers = 429, {"retry-after": str(QUIET)}
    ids = await send(customer, 80, "many")
    refused = await eventually(lambda: silence(yard, began), bool)
    yard.vendor.status, yard.vendor.headers = 202, {}
    last = refused[-1].at
    shown = [await customer.finished(id) for id in ids]
    assert {each["status"] for each in shown} == {"SENT"}
    after = [call for call in yard.calls(began) if call.at > last]
    assert after[0].at - last >= QUIET - 0.2
    # Whom it was not told to wait for was not called: no attempt was used up.
    assert len(refused) + len(after) == sum(len(each["deliveries"][0]["attempts"]) for each in shown)
    assert (len(after), len(refused) < len(ids) / 2) == (len(ids), True)
    reasons = {entry["reason"] for each in shown for entry in each["timeline"] if entry["kind"] == "held"}
    assert reasons == {"provider_throttled (sendgrid)"}


async def silence(yard: Yard, began: float) -> list[Called]:
    """The calls so far, once there has been none for a second and a half."""
    calls = yard.calls(began)
    return calls if calls and monotonic() - calls[-1].at > 1.5 else []
