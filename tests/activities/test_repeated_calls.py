"""Test calls to a provider with an idempotency window: a resend repeats the first call under its id."""

from datetime import timedelta
from typing import Any

import pytest

from domain.evidence import CallResult
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderError, ProviderRefusal, TemporaryError
from storage.database import Database
from tests.activities.conftest import ActivityWorker, RecordingSandbox, receive
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres
R = CallResult
WINDOW = timedelta(hours=24)
ACCEPTED = ProviderAcceptance(message_id="m-1")
OTHER_OUTCOMES = [
    TemporaryError("throttled", retry_after=7.0),
    PermanentError("credentials_refused"),
    ProviderRefusal(reason="invalid_address"),
]


@pytest.fixture(autouse=True)
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordingSandbox, "idempotency_window", WINDOW)


@pytest.fixture
async def lost(database: Database) -> DatabaseSend:
    """Return a send whose first call loses its response."""
    return await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()


async def age(sent: DatabaseSend, hours: float) -> None:
    """Move the first attempt into the past."""
    await sent.database_tenant.query(
        "UPDATE attempt SET started_at = now() - interval '1 hour' * :hours WHERE id = :id",
        hours=hours,
        id=sent.attempt(),
    )


def answer(worker: ActivityWorker, monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    async def send(message: object) -> object:
        worker.sandbox.calls.append(message)  # type: ignore[arg-type]
        if isinstance(outcome, ProviderError):
            raise outcome
        return outcome

    monkeypatch.setattr(worker.sandbox, "send", send)


async def test_a_resend_has_the_id_of_the_first_call(activity_worker: ActivityWorker, lost: DatabaseSend) -> None:
    first = await activity_worker.deliver(lost.call())
    assert (first.result, first.unknown_since) == (R.UNKNOWN, (await lost.rows("attempt"))[0]["started_at"])
    second = await activity_worker.deliver(lost.call(2, must_repeat=True))
    assert [message.attempt_id for message in activity_worker.sandbox.calls] == [lost.attempt()] * 2
    assert (second.result, second.unknown_since) == (R.ACCEPTED, None)
    assert await lost.attempt_states() == [(1, "unknown", "unknown"), (2, "accepted", None)]


async def test_a_resend_after_the_window_is_a_call_of_its_own(
    activity_worker: ActivityWorker, lost: DatabaseSend
) -> None:
    await activity_worker.deliver(lost.call())
    await age(lost, 24)
    await activity_worker.deliver(lost.call(2))
    assert [message.attempt_id for message in activity_worker.sandbox.calls] == [lost.attempt(), lost.attempt(2)]


async def test_a_repetition_that_may_be_recognized_no_more_is_not_called(
    activity_worker: ActivityWorker, lost: DatabaseSend
) -> None:
    """The window must not end during the call, which may take as long as the deadline."""
    await activity_worker.deliver(lost.call())
    await age(lost, 24 - RecordingSandbox.deadline / 3600)
    outcome = await activity_worker.deliver(lost.call(2, must_repeat=True))
    assert (outcome.result, outcome.reason, outcome.unknown_since) == (R.UNKNOWN, "repeat_too_late", None)
    assert len(activity_worker.sandbox.calls) == 1
    assert (await activity_worker.deliver(lost.call(2, must_repeat=True))) == outcome


@pytest.mark.parametrize("given", OTHER_OUTCOMES, ids=lambda outcome: outcome.reason)
async def test_a_repetition_that_is_not_accepted_proves_nothing(
    activity_worker: ActivityWorker,
    lost: DatabaseSend,
    monkeypatch: pytest.MonkeyPatch,
    given: ProviderError | ProviderRefusal,
) -> None:
    """The first call may have been accepted."""
    await activity_worker.deliver(lost.call())
    answer(activity_worker, monkeypatch, given)
    outcome = await activity_worker.deliver(lost.call(2))
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, given.reason)
    assert outcome.retry_after == (timedelta(seconds=7) if given.retry_after else None)
    await activity_worker.deliver(lost.call(3))
    assert {message.attempt_id for message in activity_worker.sandbox.calls} == {lost.attempt()}


async def test_the_call_of_a_lost_worker_is_repeated(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.claim()
    outcome = await activity_worker.deliver(sent.call())
    assert outcome.result is R.ACCEPTED
    assert [message.attempt_id for message in activity_worker.sandbox.calls] == [sent.attempt()]


async def test_the_call_of_a_worker_lost_long_ago_is_unknown(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await sent.claim()
    await age(sent, 25)
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, "worker_lost")
    assert activity_worker.sandbox.calls == []


@pytest.mark.parametrize("given", OTHER_OUTCOMES, ids=lambda outcome: outcome.reason)
async def test_a_repetition_for_a_lost_worker_that_is_not_accepted_proves_nothing(
    activity_worker: ActivityWorker,
    sent: DatabaseSend,
    monkeypatch: pytest.MonkeyPatch,
    given: ProviderError | ProviderRefusal,
) -> None:
    await sent.claim()
    answer(activity_worker, monkeypatch, given)
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, given.reason)


async def test_a_lost_repetition_is_not_made_again_after_a_receipt(
    activity_worker: ActivityWorker, lost: DatabaseSend
) -> None:
    """The receipt proves the first call, and the second would not be a repetition any more."""
    await activity_worker.deliver(lost.call())
    await lost.claim(2)
    await receive(lost, attempt_id=lost.attempt())
    await activity_worker.deliver(lost.call(2))
    assert len(activity_worker.sandbox.calls) == 1


async def test_a_call_before_a_restore_is_not_repeated(
    activity_worker: ActivityWorker, database: Database, sent: DatabaseSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id is not known: the attempts before it may be lost too."""
    await sent.claim()
    await sent.database_tenant.query(
        "UPDATE attempt SET state = 'unknown', reason = 'restored', finished_at = now() WHERE id = :id",
        id=sent.attempt(),
    )
    first = await activity_worker.deliver(sent.call())
    assert (first.result, first.unknown_since) == (R.UNKNOWN, None)
    outcome = await activity_worker.deliver(sent.call(2, must_repeat=True))
    assert (outcome.reason, activity_worker.sandbox.calls) == ("repeat_too_late", [])
