"""Test resends through a provider that recognizes a repeated call for a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity

from domain import retries
from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import DeliverInput, DeliverResult, NoCallResult, Plan
from domain.notification_types import Guarantee
from domain.statuses import DeliveryStatus
from tests.engine import Engine
from tests.workflows.test_activity_failures import SENT, Scripted, channel, plan_of

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
R = CallResult
WINDOW = timedelta(hours=24)
# As many as tell "no limit" from the limit of a type.
MANY = 6


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MAX_DELAY", timedelta(milliseconds=1))


class ScriptedWithWindow(Scripted):
    """Name the provider of each result, and when its first call with an unknown outcome was made."""

    unknown_since: datetime | None = None

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        result = await super().deliver(call)
        since = self.unknown_since if result.result is R.UNKNOWN else None
        return replace(result, provider=call.provider, unknown_since=since)

    @property
    def providers(self) -> list[str]:
        return [call.provider for call in self.calls]


UNKNOWN = DeliverResult(result=R.UNKNOWN, reason="connection_lost")
TOO_LATE = DeliverResult(result=R.UNKNOWN, reason="repeat_too_late")
REROUTED = DeliverResult(result=NoCallResult.REROUTED, reason="circuit_open")


def planned(guarantee: Guarantee) -> Plan:
    """Return an email through two providers, of which the first recognizes repeated calls."""
    plan = channel(Channel.EMAIL, "resend", "smtp")
    [endpoint] = plan.endpoints
    first, second = (replace(each, guarantee=guarantee, max_resends=2) for each in endpoint.providers)
    pool = (replace(first, idempotency_window=WINDOW), second)
    return plan_of(replace(plan, endpoints=(replace(endpoint, providers=pool),)))


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


async def run(
    engine: Engine, guarantee: Guarantee, *results: DeliverResult, since: datetime | None
) -> ScriptedWithWindow:
    scripted = ScriptedWithWindow(planned(guarantee), email=results)
    scripted.unknown_since = since
    await scripted.run(engine)
    return scripted


@pytest.mark.parametrize("guarantee", Guarantee)
async def test_within_the_window_the_same_provider_is_called_again(engine: Engine, guarantee: Guarantee) -> None:
    scripted = await run(engine, guarantee, *[UNKNOWN] * MANY, SENT, since=hours_ago(1))
    assert scripted.providers == ["resend"] * (MANY + 1)
    assert [end for settled in scripted.settled for end in settled.ends] == []


async def test_a_duplicate_that_the_type_allows_may_take_another_provider(engine: Engine) -> None:
    scripted = await run(engine, Guarantee.AT_LEAST_ONCE, UNKNOWN, REROUTED, SENT, since=hours_ago(1))
    assert scripted.providers == ["resend", "resend", "smtp"]
    assert [call.must_repeat for call in scripted.calls] == [False, False, False]
    assert [call.has_alternatives for call in scripted.calls[:2]] == [True, True]


@pytest.mark.parametrize("guarantee", [Guarantee.RECONCILE, Guarantee.AT_MOST_ONCE])
async def test_other_resends_may_only_be_repetitions(engine: Engine, guarantee: Guarantee) -> None:
    """They wait while the circuit of the provider is open."""
    scripted = await run(engine, guarantee, UNKNOWN, SENT, since=hours_ago(1))
    assert [(call.must_repeat, call.has_alternatives) for call in scripted.calls] == [(False, True), (True, False)]


async def test_beyond_the_limit_of_the_type_resends_may_only_be_repetitions(engine: Engine) -> None:
    scripted = await run(engine, Guarantee.AT_LEAST_ONCE, *[UNKNOWN] * 4, SENT, since=hours_ago(1))
    assert [call.must_repeat for call in scripted.calls] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("guarantee", "providers"),
    [
        (Guarantee.AT_LEAST_ONCE, ["resend", "smtp", "resend"]),
        (Guarantee.RECONCILE, ["resend"]),
        (Guarantee.AT_MOST_ONCE, ["resend"]),
    ],
)
@pytest.mark.parametrize("since", [hours_ago(24), None], ids=["after the window", "not repeatable"])
async def test_after_the_window_the_guarantee_decides(
    engine: Engine, guarantee: Guarantee, providers: list[str], since: datetime | None
) -> None:
    scripted = await run(engine, guarantee, UNKNOWN, since=since)
    assert scripted.providers == providers
    [end] = scripted.settled[0].ends
    assert (end.status, end.reason) == (DeliveryStatus.IN_DOUBT, "outcome_unknown")


async def test_a_repetition_that_was_too_late_ends_in_doubt(engine: Engine) -> None:
    scripted = ScriptedWithWindow(planned(Guarantee.RECONCILE), email=[UNKNOWN, TOO_LATE])
    scripted.unknown_since = hours_ago(24) + timedelta(seconds=3)
    await scripted.run(engine)
    [end] = scripted.settled[0].ends
    assert (end.status, scripted.providers[0]) == (DeliveryStatus.IN_DOUBT, "resend")
    assert set(scripted.providers) == {"resend"}


async def test_repetitions_end_in_doubt_when_the_type_gives_up(engine: Engine) -> None:
    plan = replace(planned(Guarantee.RECONCILE), give_up_after=timedelta(milliseconds=500))
    scripted = ScriptedWithWindow(plan, email=[UNKNOWN])
    scripted.unknown_since = hours_ago(1)
    await scripted.run(engine)
    [end] = scripted.settled[0].ends
    assert (end.status, end.reason) == (DeliveryStatus.IN_DOUBT, "outcome_unknown")
    assert len(scripted.calls) > 1


async def test_a_provider_that_left_the_pool_is_not_called_again(engine: Engine) -> None:
    """The lost workflow has called it, and the plan has others now."""
    plan = plan_of(channel(Channel.EMAIL, "smtp"))
    [endpoint] = plan.steps[0].channels[0].endpoints
    pool = tuple(replace(each, guarantee=Guarantee.RECONCILE, idempotency_window=WINDOW) for each in endpoint.providers)
    steps = (
        replace(
            plan.steps[0],
            channels=(replace(plan.steps[0].channels[0], endpoints=(replace(endpoint, providers=pool),)),),
        ),
    )
    left = replace(UNKNOWN, provider="resend", unknown_since=hours_ago(1))
    scripted = Scripted(replace(plan, steps=steps), email=[left])
    await scripted.run(engine)
    assert len(scripted.calls) == 1
    assert scripted.settled[0].ends[0].status is DeliveryStatus.IN_DOUBT
