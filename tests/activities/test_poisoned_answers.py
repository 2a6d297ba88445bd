"""Test that no vendor response keeps a notification open: it is cleaned, and an error while recording ends with a
true status."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadConverter

from dispatch.temporal.connection import RedactingFailureConverter
from domain.evidence import CallResult
from domain.messages import DeliverResult
from domain.stored_enums import UnknownValue
from metrics.registry import REGISTRY
from providers.outcomes import ProviderAcceptance
from storage.connections import DATABASE_ERRORS
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend

pytestmark = pytest.mark.postgres
R = CallResult

DEEP: Any = {}
for _ in range(500):
    DEEP = {"deeper": DEEP}


@pytest.mark.parametrize(
    "answer",
    [
        ProviderAcceptance(message_id="m\x00-1"),
        ProviderAcceptance(message_id="m\ud800-2"),
        ProviderAcceptance(message_id="".join(map(str, range(10_000)))),
        ProviderAcceptance(message_id="m-4", response={"body": "a\x00b", "half": "\udfff", "number": float("nan")}),
        ProviderAcceptance(
            message_id="m-5", response={"body": "x" * 1_000_000, "many": list(range(100_000)), "deep": DEEP}
        ),
        ProviderAcceptance(message_id="m-6", response={"moment": object(), "long": 10**5_000}),
        ProviderAcceptance(message_id="m-7", cost="1e999"),
        ProviderAcceptance(message_id="m-8", cost="a lot"),
    ],
    ids=["NUL", "surrogate", "long", "response", "large response", "not JSON", "large cost", "cost"],
)
async def test_an_acceptance_is_recorded_with_any_vendor_response(
    activity_worker: ActivityWorker, sent: DatabaseSend, answer: ProviderAcceptance
) -> None:
    activity_worker.sandbox.answer = answer
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.recorded, outcome.finished) == (R.ACCEPTED, True, True)
    assert (await sent.row())["status"] == "SENT"
    [attempt] = await sent.rows("attempt")
    assert attempt["state"] == "accepted"
    assert len(str(attempt["provider_response"])) < 20_000


Refuse = Callable[[str], Awaitable[None]]


@pytest.fixture
async def refuse(sent: DatabaseSend) -> AsyncIterator[Refuse]:
    """Let Postgres refuse attempts of this test where the condition holds."""
    raising = "BEGIN RAISE check_violation; END"
    await sent.database_tenant.query(
        f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$"
    )

    async def begin(condition: str) -> None:
        await sent.database_tenant.query(
            f"CREATE TRIGGER refused BEFORE UPDATE ON attempt FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        )

    yield begin
    await sent.database_tenant.query("DROP TRIGGER IF EXISTS refused ON attempt")


def failures(kept: str) -> float:
    return float(REGISTRY.get_sample_value("tocsin_recording_failures_total", {"kept": kept}) or 0)


def errors(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == "error"]


@pytest.mark.parametrize("late", [False, True], ids=["by deliver", "by the workflow"])
async def test_an_unstorable_response_leaves_its_outcome(
    activity_worker: ActivityWorker, sent: DatabaseSend, refuse: Refuse, late: bool
) -> None:
    before = failures("outcome")
    await refuse("NEW.provider_message_id IS NOT NULL")
    if late:
        await sent.claim()
    with capture_logs() as logs:
        outcome = await (
            activity_worker.record(
                sent.call(), DeliverResult(result=R.ACCEPTED, provider_message_id="m", recorded=False)
            )
            if late
            else activity_worker.deliver(sent.call())
        )
    assert (outcome.result, outcome.recorded, outcome.finished, outcome.provider_message_id) == (
        R.ACCEPTED,
        True,
        True,
        None,
    )
    assert (await sent.row())["status"] == "SENT"
    assert errors(logs) == ["an answer cannot be recorded; its outcome alone is"]
    assert failures("outcome") == before + 1


async def test_an_outcome_that_cannot_be_recorded_is_not_repeated(
    activity_worker: ActivityWorker, sent: DatabaseSend, refuse: Refuse
) -> None:
    """The attempt stays without an outcome: settled by the workflow, it is in doubt."""
    before = failures("nothing")
    await refuse("true")
    with capture_logs() as logs, pytest.raises(DATABASE_ERRORS) as raised:
        await activity_worker.deliver(sent.call())
    assert non_retryable(raised.value)
    assert failures("nothing") == before + 1
    assert errors(logs)[-1] == "an outcome cannot be recorded; the notification is in doubt"
    assert "m-" not in str(logs)


def non_retryable(error: BaseException) -> bool:
    failure = Failure()
    RedactingFailureConverter().to_failure(error, PayloadConverter.default, failure)
    return failure.application_failure_info.non_retryable


def test_only_errors_that_stay_are_not_retried_by_temporal() -> None:
    """A value that this version does not know may come from a newer process during a deploy."""
    assert non_retryable(KeyError("x"))
    assert non_retryable(ValueError("x"))
    assert not non_retryable(UnknownValue("unknown Result"))
    assert not non_retryable(ConnectionResetError())
