"""Test a 2xx that the vendor does not document, from the adapter to the end of the delivery, by the type's
guarantee."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio import activity

from domain import retries
from domain.evidence import CallResult
from domain.messages import DeliverInput, DeliverResult
from domain.notification_types import Guarantee
from domain.reasons import Reason, reason_line
from domain.statuses import DeliveryStatus
from services.outcome_translation import unrecorded_result
from services.provider_calls import send_once as sent
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.engine import Engine
from tests.providers.harness_http import HttpBench
from tests.providers.harnesses import HTTP_HARNESSES
from tests.providers.test_wrong_successes import HTML, SUCCESSES
from tests.workflows.test_activity_failures import Scripted, channel, plan_of
from workflows import options

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
Ended = tuple[DeliveryStatus, str]
DOUBT: Ended = (DeliveryStatus.IN_DOUBT, "outcome_unknown: undocumented_success")
UNKNOWN = DeliverResult(result=CallResult.UNKNOWN, reason="undocumented_success")
FOUND = DeliverResult(result=CallResult.ACCEPTED, finished=True)
CASES: list[tuple[Guarantee, DeliverResult, int, list[Ended]]] = [
    (Guarantee.AT_MOST_ONCE, UNKNOWN, 1, [DOUBT]),
    (Guarantee.AT_LEAST_ONCE, UNKNOWN, 3, [DOUBT]),
    (Guarantee.RECONCILE, UNKNOWN, 1, [DOUBT]),
    (Guarantee.RECONCILE, FOUND, 1, []),
]


class AtVendor(Scripted):
    """Make calls through the adapter to a vendor that returns a web page with status 203, which no vendor documents."""

    bench: HttpBench

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        self.calls.append(call)
        return replace(
            unrecorded_result(await sent(self.bench.provider, self.bench.message_in_mode(VendorMode.GOOD))),
            recorded=True,
            provider=call.provider,
        )


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker polls the provider's own queue; the workflow's queue serves lookups."""
    monkeypatch.setattr(retries, "MAX_DELAY", timedelta(milliseconds=1))
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(milliseconds=100))


async def ends_at(engine: Engine, name: str, guarantee: Guarantee, found: DeliverResult) -> tuple[int, list[Ended]]:
    """Return the number of calls and the ends of the delivery."""
    async with HTTP_HARNESSES[name].bench() as bench:
        bench.vendor.reply = Reply(status=203, body=HTML)
        plan = channel(bench.channel, name)
        [endpoint] = plan.endpoints
        [provider] = endpoint.providers
        settling = timedelta(milliseconds=100 * (guarantee is Guarantee.RECONCILE))
        planned = replace(provider, guarantee=guarantee, settles_within=settling, max_resends=2)
        scripted = AtVendor(plan_of(replace(plan, endpoints=(replace(endpoint, providers=(planned,)),))))
        scripted.bench, scripted.looked_up = bench, [found]
        await scripted.run(engine)
    return len(scripted.calls), [
        (end.status, reason_line(Reason(end.reason, end.args))) for settled in scripted.settled for end in settled.ends
    ]


async def test_undocumented_successes_end_by_the_guarantee_of_the_type(engine: Engine) -> None:
    """All run concurrently and take as long as one."""
    cells = [(name, guarantee, found) for name in SUCCESSES for guarantee, found, *_ in CASES]
    ended = await asyncio.gather(*(ends_at(engine, *cell) for cell in cells))
    assert ended == [(calls, ends) for _ in SUCCESSES for *_, calls, ends in CASES]
