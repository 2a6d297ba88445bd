"""Test `deliver`: guard, send, record. A repeated call never sends again, and every outcome is recorded."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain import clock
from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import DeliverResult
from domain.statuses import NotificationStatus
from providers.outcomes import ProviderAcceptance
from storage.database import Database
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
R, N = CallResult, NotificationStatus


async def test_an_accepted_message_is_recorded_on_every_row_with_the_end(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status, outcome.finished, outcome.recorded) == (R.ACCEPTED, N.SENT, True, True)
    assert await sent.attempt_states() == [(1, "accepted", None)]
    row = await sent.row()
    assert (row["status"], row["finished_at"] is not None) == ("SENT", True)
    [delivery] = await sent.rows("delivery")
    assert (delivery["status"], delivery["provider_message_id"]) == ("SENT", outcome.provider_message_id)
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted", "rendered", "sent"]


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-1)])
async def test_a_worker_with_a_wrong_clock_records_database_time(
    activity_worker: ActivityWorker, database: Database, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    """A step that waits for its goal counts from there."""
    monkeypatch.setattr(clock, "_offset", off)
    lost = await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()
    await activity_worker.deliver(lost.call())
    activity_worker.sandbox.found = [ProviderAcceptance(message_id=str(uuid4()))]
    found = await activity_worker.look_up(lost.call())
    sent = await (await open_database_tenant(database)).send()
    accepted = await activity_worker.deliver(sent.call())
    for outcome in (accepted, found):
        assert outcome.sent_at is not None
        assert abs(datetime.now(UTC) - outcome.sent_at) < timedelta(minutes=1)


async def test_with_more_to_come_an_acceptance_does_not_end_it(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    outcome = await activity_worker.deliver(sent.call(finishes_notification=False))
    assert (outcome.status, outcome.finished) == (N.SENT, False)
    assert (await sent.row())["finished_at"] is None


async def test_the_vendor_gets_the_reference_and_the_rendered_content(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await activity_worker.deliver(sent.call())
    [message] = activity_worker.sandbox.calls
    assert (message.attempt_id, message.delivery_id) == (sent.attempt(), sent.delivery())
    assert (message.address, message.content) == ({"email": sent.database_tenant.contact["email"]}, {"subject": "Hi"})


async def test_the_row_is_there_before_the_vendor_is_called(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """I4: the row is committed, and no connection is held during the call."""
    seen: list[Any] = []

    async def look() -> None:
        seen.extend(await sent.attempt_states())

    activity_worker.sandbox.after_send = look
    await activity_worker.deliver(sent.call())
    assert seen == [(1, "submitting", None)]


@pytest.mark.parametrize(
    ("word", "result", "state", "error_type"),
    [
        ("refuse", R.REFUSED, "refused", "refused"),
        ("error", R.NOT_ACCEPTED, "not_accepted", "temporary"),
        ("broken", R.PERMANENT, "not_accepted", "permanent"),
        ("lost", R.UNKNOWN, "unknown", "unknown"),
    ],
)
async def test_every_other_result_leaves_the_notification_open(
    activity_worker: ActivityWorker, database: Database, word: str, result: CallResult, state: str, error_type: str
) -> None:
    sent = await (await open_database_tenant(database, {"email": f"ada+{word}@example.com"})).send()
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status, outcome.finished, outcome.recorded) == (result, N.PENDING, False, True)
    assert await sent.attempt_states() == [(1, state, error_type)]


@pytest.mark.parametrize("word", ["", "refuse", "error", "broken", "lost"])
async def test_a_repeated_call_returns_the_same_outcome_without_a_call(
    activity_worker: ActivityWorker, database: Database, word: str
) -> None:
    sent = await (await open_database_tenant(database, {"email": f"ada+{word}@example.com"})).send()
    first = await activity_worker.deliver(sent.call())
    before = await sent.row()
    assert await activity_worker.deliver(sent.call()) == first
    assert len(activity_worker.sandbox.calls) == 1
    assert await sent.row() == before


async def test_a_submitting_row_is_unknown_and_makes_no_call(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """The worker that wrote it was killed before, during or after its call."""
    await sent.claim()
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, "worker_lost")
    assert activity_worker.sandbox.calls == []
    assert await sent.attempt_states() == [(1, "unknown", "unknown")]


async def test_an_idempotent_provider_is_called_again(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent = await database_tenant.send(Channel.IN_APP)
    await sent.claim(channel=Channel.IN_APP, provider="in_app")
    outcome = await activity_worker.deliver(sent.call(channel=Channel.IN_APP, provider="in_app"))
    assert outcome.result is R.ACCEPTED
    assert len(activity_worker.inbox.calls) == 1
    assert len(await sent.rows("inbox_message")) == 1


async def test_a_second_worker_with_the_same_call_does_not_call(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """The first is still in its call when the other, which took over, is done."""
    second: list[DeliverResult] = []

    async def take_over() -> None:
        activity_worker.sandbox.after_send = None
        second.append(await activity_worker.deliver(sent.call()))

    activity_worker.sandbox.after_send = take_over
    first = await activity_worker.deliver(sent.call())
    assert [outcome.result for outcome in second] == [R.UNKNOWN]
    assert first.result is R.ACCEPTED
    assert len(activity_worker.sandbox.calls) == 1
    assert await sent.attempt_states() == [(1, "accepted", None)]
    assert (await sent.row())["status"] == "SENT"


async def test_an_endpoint_with_the_message_is_never_called_again(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await activity_worker.deliver(sent.call(finishes_notification=False))
    outcome = await activity_worker.deliver(sent.call(2, finishes_notification=False))
    assert outcome.result is R.ACCEPTED
    assert len(activity_worker.sandbox.calls) == 1
    assert await sent.attempt_states() == [(1, "accepted", None)]


async def test_after_an_unknown_call_the_next_attempt_is_made(
    activity_worker: ActivityWorker, database: Database
) -> None:
    sent = await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()
    await activity_worker.deliver(sent.call())
    outcome = await activity_worker.deliver(sent.call(2))
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.SENT)
    assert await sent.attempt_states() == [(1, "unknown", "unknown"), (2, "accepted", None)]
    assert len(await sent.rows("sandbox_message")) == 2


async def test_an_international_address_travels_with_its_ascii_form(
    activity_worker: ActivityWorker, database: Database
) -> None:
    address = {"email": "ada@exämple.de", "email_ascii": "ada@xn--exmple-cua.de"}
    sent = await (await open_database_tenant(database, address)).send()
    await activity_worker.deliver(sent.call())
    [message] = activity_worker.sandbox.calls
    assert message.address == address
    row = await sent.row()
    assert (message.notification_type, message.created_at) == ("order.shipped", row["created_at"])


async def test_a_call_that_takes_too_long_is_unknown(
    activity_worker: ActivityWorker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(activity_worker.sandbox), "deadline", 0.3)
    sent = await (await open_database_tenant(database, {"email": "ada+hang@example.com"})).send()
    async with asyncio.timeout(60):
        outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, "timeout")
    assert await sent.attempt_states() == [(1, "unknown", "unknown")]


async def test_the_delay_that_the_provider_names_is_returned(
    activity_worker: ActivityWorker, database: Database
) -> None:
    sent = await (await open_database_tenant(database, {"email": "ada+throttle@example.com"})).send()
    assert (await activity_worker.deliver(sent.call())).retry_after == timedelta(seconds=1)
