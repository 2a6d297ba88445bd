"""Test that internal failures use up no attempts, and that results of a provider outside the pool remove no
provider."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowHistory
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain import retries
from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import (
    ChannelPlan,
    DeliverInput,
    DeliverResult,
    Endpoint,
    LookUpInput,
    NotificationOutcome,
    NotificationStart,
    Plan,
    PlannedProvider,
    RenderInput,
    RenderResult,
    ResolveInput,
    StepPlan,
)
from domain.notification_types import Guarantee
from domain.settlement_messages import SettleInput
from domain.statuses import DeliveryStatus, NotificationStatus
from tests.engine import Engine, exists_in_temporal
from tests.polling import eventually
from workflows.notification import NotificationWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
R = CallResult
STALLED = DeliverResult(result=R.NOT_ACCEPTED, reason="stalled")
LOST = DeliverResult(result=R.UNKNOWN, reason="worker_lost")
BUSY = DeliverResult(result=R.NOT_ACCEPTED, reason="unavailable")
SENT = DeliverResult(result=R.ACCEPTED)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MAX_DELAY", timedelta(milliseconds=1))


class Scripted:
    """Replace the activities of one workflow: a plan, and a result for each call of a channel and each lookup; the
    last result repeats."""

    concurrent_activities = 1

    def __init__(self, plan: Plan, **answers: Sequence[DeliverResult]) -> None:
        self._plan = plan
        self._answers = {channel: list(given) for channel, given in answers.items()}
        self.calls: list[DeliverInput] = []
        self.settled: list[SettleInput] = []
        self.looked_up = [LOST]
        self.released = asyncio.Event()
        self.released.set()
        self.name = f"scripted-{uuid4()}"

    @property
    def made(self) -> Counter[str]:
        return Counter(str(call.channel) for call in self.calls)

    @activity.defn
    async def resolve_preferences(self, given: ResolveInput) -> Plan:
        return self._plan

    @activity.defn
    async def render_messages(self, given: RenderInput) -> RenderResult:
        return RenderResult()

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        self.calls.append(call)
        await self.released.wait()
        left = self._answers[call.channel]
        return left.pop(0) if len(left) > 1 else left[0]

    @activity.defn
    async def look_up(self, given: LookUpInput) -> DeliverResult:
        return self.looked_up.pop(0) if len(self.looked_up) > 1 else self.looked_up[0]

    @activity.defn
    async def settle(self, end: SettleInput) -> NotificationOutcome:
        self.settled.append(end)
        return NotificationOutcome(status=end.verdict or NotificationStatus.PENDING)

    async def run(self, engine: Engine, **start: Any) -> WorkflowHistory:
        """Run the workflow to its end, which may be that of a failed notification."""
        name = self.name
        given = NotificationStart(
            notification_id=uuid4(), tenant=uuid4(), generation=1, notification_type="news", priority=3, **start
        )
        worker = Worker(
            engine.temporal,
            task_queue=name,
            workflows=[NotificationWorkflow],
            activities=[self.resolve_preferences, self.render_messages, self.deliver, self.look_up, self.settle],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=self.concurrent_activities,
        )
        async with worker:
            handle = await engine.temporal.start_workflow(NotificationWorkflow.run, given, id=name, task_queue=name)
            await asyncio.gather(handle.result(), return_exceptions=True)
        return await handle.fetch_history()


def channel(name: Channel, *providers: str) -> ChannelPlan:
    pool = tuple(PlannedProvider(name=each, timeout=timedelta(seconds=30), has_rate=False) for each in providers)
    endpoint = Endpoint(id=name, providers=pool)
    guarantee = Guarantee.AT_LEAST_ONCE
    return ChannelPlan(channel=name, delivery_id=uuid4(), rule="type", guarantee=guarantee, endpoints=(endpoint,))


def plan_of(*channels: ChannelPlan) -> Plan:
    """Return a rendered route with one channel per step."""
    steps = tuple(StepPlan(number=number, channels=(each,)) for number, each in enumerate(channels, start=1))
    return Plan(steps=steps, give_up_after=timedelta(hours=1), rendered=RenderResult())


async def test_own_failures_use_up_none_of_the_attempts_before_the_next_step(engine: Engine) -> None:
    plan = plan_of(channel(Channel.EMAIL, "smtp"), channel(Channel.SMS, "twilio"))
    scripted = Scripted(plan, email=[STALLED, LOST, STALLED, BUSY], sms=[SENT])
    await scripted.run(engine)
    assert scripted.made == {"email": 3 + retries.MAX_FALLBACK_ATTEMPTS, "sms": 1}
    end = scripted.settled[0].ends[0]
    assert (end.reason, end.args) == (
        "retries_exhausted",
        {"attempts": retries.MAX_FALLBACK_ATTEMPTS, "cause": "unavailable"},
    )


async def test_endless_internal_failures_exhaust_the_attempts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.attempt_limits.MAX_INTERNAL_FAILURES", 5)
    plan = plan_of(channel(Channel.EMAIL, "smtp"), channel(Channel.SMS, "twilio"))
    scripted = Scripted(plan, email=[STALLED], sms=[SENT])
    await scripted.run(engine)
    assert scripted.made == {"email": 5 + retries.MAX_FALLBACK_ATTEMPTS, "sms": 1}


@pytest.mark.parametrize("pool", [["smtp"], ["smtp", "sendgrid"]])
async def test_a_permanent_error_outside_the_pool_removes_no_provider(engine: Engine, pool: list[str]) -> None:
    """The attempt is that of a lost workflow, before the pool was changed."""
    refused = DeliverResult(result=R.PERMANENT, reason="credentials_refused", provider="former")
    scripted = Scripted(plan_of(channel(Channel.EMAIL, *pool)), email=[refused, SENT])
    await scripted.run(engine)
    assert [call.provider for call in scripted.calls] == ["smtp", "smtp"]
    assert [call.pool for call in scripted.calls] == [tuple(pool)] * 2


async def test_a_temporary_error_of_a_provider_outside_the_pool_changes_no_order(engine: Engine) -> None:
    busy = DeliverResult(result=R.NOT_ACCEPTED, reason="unavailable", provider="former")
    scripted = Scripted(plan_of(channel(Channel.EMAIL, "smtp", "sendgrid")), email=[busy, SENT])
    await scripted.run(engine)
    assert [call.provider for call in scripted.calls] == ["smtp", "smtp"]


def has_timed_out(history: WorkflowHistory) -> bool:
    return any(event.HasField("activity_task_timed_out_event_attributes") for event in history.events)


async def test_a_call_that_no_worker_takes_ends_when_it_expires(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other channel of the step uses the only slot for activities."""
    monkeypatch.setattr("workflows.provider_queue._time_until", lambda _: timedelta(seconds=2))
    step = StepPlan(number=1, channels=(channel(Channel.EMAIL, "smtp"), channel(Channel.SMS, "twilio")))
    plan = Plan(steps=(step,), give_up_after=timedelta(hours=1), rendered=RenderResult())
    scripted = Scripted(plan, email=[SENT], sms=[SENT])
    scripted.released.clear()
    running = asyncio.create_task(scripted.run(engine, expires_at=datetime.now(UTC) + timedelta(hours=1)))
    handle = engine.temporal.get_workflow_handle(scripted.name)
    await eventually(lambda: exists_in_temporal(handle.describe), bool)
    await eventually(handle.fetch_history, has_timed_out)
    scripted.released.set()
    await running
    assert len(scripted.calls) == 1
    [end] = [end for settled in scripted.settled for end in settled.ends]
    assert (end.status, end.reason) == (DeliveryStatus.EXPIRED, "expired")


@pytest.mark.parametrize("ttl", [None, timedelta(hours=1)])
async def test_a_call_waits_for_a_worker_until_it_expires(engine: Engine, ttl: timedelta | None) -> None:
    scripted = Scripted(plan_of(channel(Channel.EMAIL, "smtp")), email=[SENT])
    history = await scripted.run(engine, expires_at=ttl and datetime.now(UTC) + ttl)
    [scheduled] = [
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    limit = scheduled.schedule_to_start_timeout.ToTimedelta()
    if ttl is not None:
        assert ttl - timedelta(minutes=5) < limit <= ttl
    else:
        assert limit == scheduled.schedule_to_close_timeout.ToTimedelta()
