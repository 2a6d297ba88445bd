"""Test how often a message is resent after unknown outcomes, and how long a provider's Retry-After is obeyed."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio import activity

from domain import retries
from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import LOOKUP_REFUSED, ChannelPlan, DeliverInput, DeliverResult
from domain.notification_types import Guarantee
from domain.statuses import DeliveryStatus
from providers.smtp.adapter import Smtp
from services.outcome_translation import unrecorded_result
from services.provider_calls import send_once as send
from testing.vendors.smtp import MailMode, MailServer
from tests.domain.sample_types import sample_type
from tests.engine import Engine
from tests.providers.harness_smtp import to
from tests.workflows.test_activity_failures import BUSY, SENT, Scripted, channel, plan_of
from workflows import options

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


class AtMailServer(Scripted):
    """Make calls through the adapter to a mail server."""

    server: MailServer

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        self.calls.append(call)
        message = replace(to(), delivery_id=call.delivery_id)
        return replace(
            unrecorded_result(await send(Smtp(self.server.settings()), message)), recorded=True, provider=call.provider
        )


UNKNOWN = DeliverResult(result=CallResult.UNKNOWN, reason="connection_lost")
IN_A_DAY = replace(BUSY, retry_after=timedelta(days=1))
MAY_NOT_ASK = DeliverResult(result=CallResult.UNKNOWN, reason=LOOKUP_REFUSED, provider="sendgrid")
PROVED_ABSENT = DeliverResult(result=CallResult.NOT_ACCEPTED, reason="proved_absent", provider="sendgrid")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MAX_DELAY", timedelta(milliseconds=1))


def capped(plan: ChannelPlan, max_resends: int | None) -> ChannelPlan:
    [endpoint] = plan.endpoints
    pool = tuple(
        replace(each, max_resends=max_resends, guarantee=Guarantee.AT_LEAST_ONCE) for each in endpoint.providers
    )
    return replace(plan, endpoints=(replace(endpoint, providers=pool),))


def reconciled(max_resends: int | None = None) -> ChannelPlan:
    """Return a channel whose provider supported lookups when it was planned."""
    [endpoint] = channel(Channel.EMAIL, "sendgrid").endpoints
    [provider] = endpoint.providers
    asked = replace(
        provider, guarantee=Guarantee.RECONCILE, settles_within=timedelta(seconds=1), max_resends=max_resends
    )
    return replace(channel(Channel.EMAIL), endpoints=(replace(endpoint, providers=(asked,)),))


@pytest.mark.parametrize(("max_resends", "sends"), [(0, 1), (2, 3), (4, 5)])
async def test_resends_after_unknown_outcomes_are_capped(engine: Engine, max_resends: int, sends: int) -> None:
    plan = plan_of(capped(channel(Channel.EMAIL, "smtp", "sendgrid"), max_resends))
    scripted = Scripted(plan, email=[UNKNOWN])
    await scripted.run(engine)
    assert scripted.made == {"email": sends}
    [end] = scripted.settled[0].ends
    assert (end.status, end.reason, end.args) == (
        DeliveryStatus.IN_DOUBT,
        "outcome_unknown",
        {"cause": "connection_lost"},
    )


async def test_a_server_with_lost_responses_gets_at_most_three_identical_mails(engine: Engine) -> None:
    """All have one Message-ID, so that mail programs show them once. Three is the default of a type."""
    scripted = AtMailServer(plan_of(capped(channel(Channel.EMAIL, "smtp"), sample_type().max_resends)))
    async with MailServer(mode=MailMode.LOSE).running() as server:
        scripted.server = server
        await scripted.run(engine)
    mails = [kept.mail for kept in server.ledger]
    assert len(mails) == 3
    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len({(mail["Subject"], str(mail.get_body(("plain",)))) for mail in mails}) == 1
    assert scripted.settled[0].ends[0].status is DeliveryStatus.IN_DOUBT


@pytest.mark.parametrize(("earlier_unknown_outcomes", "calls"), [(0, 3), (1, 2), (2, 1), (5, 1)])
async def test_resends_of_a_lost_workflow_count(engine: Engine, earlier_unknown_outcomes: int, calls: int) -> None:
    """The first call is the lost workflow's last one: it returns the outcome in its row."""
    plan = capped(channel(Channel.EMAIL, "smtp"), 2)
    [endpoint] = plan.endpoints
    resumed = replace(endpoint, first_attempt_number=7, earlier_unknown_outcomes=earlier_unknown_outcomes)
    scripted = Scripted(plan_of(replace(plan, endpoints=(resumed,))), email=[UNKNOWN])
    await scripted.run(engine)
    assert [call.attempt_number for call in scripted.calls] == list(range(7, 7 + calls))
    assert scripted.settled[0].ends[0].status is DeliveryStatus.IN_DOUBT


async def test_only_unknown_outcomes_use_up_the_resends(engine: Engine) -> None:
    plan = plan_of(capped(channel(Channel.EMAIL, "smtp"), 2))
    scripted = Scripted(plan, email=[UNKNOWN, BUSY, UNKNOWN, BUSY, SENT])
    await scripted.run(engine)
    assert scripted.made == {"email": 5}


async def test_a_call_that_is_proved_absent_uses_up_no_resend(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run of the workflow counts the rows, in which that call is not unknown."""
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(milliseconds=100))
    scripted = Scripted(plan_of(reconciled(max_resends=1)), email=[UNKNOWN, UNKNOWN, SENT])
    scripted.looked_up = [PROVED_ABSENT, MAY_NOT_ASK]
    await scripted.run(engine)
    assert scripted.made == {"email": 3}


async def test_an_idempotent_provider_has_no_limit_of_resends(engine: Engine) -> None:
    plan = plan_of(capped(channel(Channel.WEBHOOK, "webhook"), None))
    scripted = Scripted(plan, webhook=[UNKNOWN] * 6 + [SENT])
    await scripted.run(engine)
    assert scripted.made == {"webhook": 7}


async def test_a_long_retry_after_ends_nothing_at_once(engine: Engine) -> None:
    """It is obeyed up to the longest delay, which is short here."""
    scripted = Scripted(plan_of(channel(Channel.EMAIL, "smtp")), email=[IN_A_DAY, IN_A_DAY, SENT])
    await scripted.run(engine)
    assert scripted.made == {"email": 3}


async def test_a_retry_after_beyond_the_end_leaves_one_more_attempt(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_DELAY", timedelta(days=1))
    monkeypatch.setattr(retries, "FIRST_DELAY", timedelta(milliseconds=1))
    plan = replace(plan_of(channel(Channel.EMAIL, "smtp")), give_up_after=timedelta(seconds=3))
    scripted = Scripted(plan, email=[IN_A_DAY, SENT])
    await scripted.run(engine)
    assert scripted.made == {"email": 2}


@pytest.mark.parametrize(
    ("declared", "status"), [(Guarantee.AT_LEAST_ONCE, None), (Guarantee.RECONCILE, DeliveryStatus.IN_DOUBT)]
)
async def test_an_account_without_lookups_follows_the_type_or_the_default(
    engine: Engine, declared: Guarantee, status: DeliveryStatus | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider supported lookups when it was planned. Without a guarantee in the type the default is
    `at_least_once`."""
    # No worker polls the provider's own queue; the workflow's queue is polled.
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(milliseconds=100))
    scripted = Scripted(plan_of(replace(reconciled(), guarantee=declared)), email=[UNKNOWN, SENT])
    scripted.looked_up = [MAY_NOT_ASK]
    await scripted.run(engine)
    assert scripted.made == {"email": 1 if status else 2}
    assert [end.status for settled in scripted.settled for end in settled.ends] == ([status] if status else [])


async def test_a_receipt_is_waited_for_after_a_refused_lookup(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the settle window the rows show that the message has arrived."""
    monkeypatch.setattr(options, "QUEUE_TIMEOUT", timedelta(milliseconds=100))
    monkeypatch.setattr(retries, "LOOKUP_DELAYS", (timedelta(milliseconds=1),))
    [endpoint] = channel(Channel.EMAIL, "sendgrid").endpoints
    [provider] = endpoint.providers
    asked = replace(provider, guarantee=Guarantee.RECONCILE, settles_within=timedelta(milliseconds=200))
    plan = replace(channel(Channel.EMAIL), endpoints=(replace(endpoint, providers=(asked,)),))
    scripted = Scripted(plan_of(plan), email=[UNKNOWN])
    scripted.looked_up = [DeliverResult(result=CallResult.UNKNOWN, reason=LOOKUP_REFUSED, provider="sendgrid"), SENT]
    await scripted.run(engine)
    assert (scripted.made, scripted.looked_up) == ({"email": 1}, [SENT])
    assert [end for settled in scripted.settled for end in settled.ends] == []


@pytest.mark.parametrize(("guarantee", "sends"), [(Guarantee.AT_MOST_ONCE, 1), (Guarantee.AT_LEAST_ONCE, 2)])
async def test_a_webhook_server_error_is_retried_only_if_the_type_allows_it(
    engine: Engine, guarantee: Guarantee, sends: int
) -> None:
    failed = DeliverResult(result=CallResult.NOT_ACCEPTED, reason="server_error")
    plan = replace(channel(Channel.WEBHOOK, "webhook"), guarantee=guarantee)
    scripted = Scripted(plan_of(plan), webhook=[failed, SENT])
    await scripted.run(engine)
    assert scripted.made == {"webhook": sends}
