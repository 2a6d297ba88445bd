"""What is over is over: no call for a delivery that was closed, no open notification whose delivery has arrived."""

from types import SimpleNamespace

import pytest
from temporalio.testing import ActivityEnvironment

from activities import delivery
from activities.settlement import Settlement, settled
from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_receipt
from domain.messages import DeliveryEnd, Result, SettleInput
from domain.records import Ledger
from domain.statuses import DeliveryStatus, NotificationStatus
from storage import devices
from storage.devices import NewDevice
from tests.activities.conftest import Counter
from tests.domain import ledgers
from tests.storage.sends import Desk, Sent

D, N = DeliveryStatus, NotificationStatus


async def gave_up(sent: Sent, channel: Channel) -> None:
    """The delivery is closed, and the notification goes on."""
    closed = DeliveryEnd(delivery_id=sent.delivery(channel), status=D.FAILED, reason="gave_up")
    end = SettleInput(notification_id=sent.id, tenant=sent.desk.tenant, generation=1, ends=(closed,))
    outcome = await ActivityEnvironment().run(Settlement(sent.desk.database).settle, end)
    assert outcome.status is N.PENDING


@pytest.mark.postgres
async def test_nobody_is_called_for_a_delivery_that_has_failed(counter: Counter, desk: Desk) -> None:
    sent = await desk.send(Channel.EMAIL, Channel.SMS)
    await gave_up(sent, Channel.EMAIL)
    before = await sent.row()
    told = await counter.deliver(sent.call(ends=False))
    assert (told.result, told.stopped_as, told.reason) == (Result.STOPPED, D.FAILED, "gave_up")
    assert (counter.sandbox.calls, await sent.rows("attempt")) == ([], [])
    assert await sent.row() == before
    assert (await counter.deliver(sent.call(channel=Channel.SMS))).result is Result.ACCEPTED


@pytest.mark.postgres
async def test_after_one_device_has_it_the_next_one_is_called_all_the_same(counter: Counter, desk: Desk) -> None:
    endpoints = []
    for name in ("phone", "tablet"):
        new = NewDevice(device=name, kind=DeviceKind.FCM, address={"token": f"t-{name}"})
        async with desk.database.transaction() as session:
            saved = await devices.save(session, desk.tenant, desk.recipient_id, new)
        assert saved is not None
        endpoints.append(str(saved[0].id))
    sent = await desk.send(Channel.PUSH)
    told = [await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=id, ends=False)) for id in endpoints]
    assert [one.result for one in told] == [Result.ACCEPTED, Result.ACCEPTED]


@pytest.mark.postgres
@pytest.mark.parametrize("seconds", [10, 3])
async def test_stalled_before_the_call_it_is_an_error_and_nobody_is_called(
    counter: Counter, sent: Sent, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """By then another worker may have taken over and called it unknown."""
    began, claimed = 100.0, 100.0 + seconds
    clock = iter([began, claimed])
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: next(clock, claimed)))
    stalled = seconds > delivery.STALLED_AFTER
    told = await counter.deliver(sent.call())
    [attempt] = (await sent.ledger()).attempts.values()
    outcome = (told.result, told.reason, str(attempt.state), len(counter.sandbox.calls))
    if stalled:
        assert outcome == (Result.NOT_ACCEPTED, "stalled", "not_accepted", 0)
    else:
        assert outcome == (Result.ACCEPTED, None, "accepted", 1)


def unanswered() -> tuple[Ledger, SettleInput]:
    """A call whose outcome nobody knew, and the end of its step without a verdict, as the workflow then asks for it."""
    email = ledgers.delivery()
    call = ledgers.attempt(email)
    before = ledgers.answered(ledgers.ledger(email, call), call, AttemptState.UNKNOWN)
    closed = DeliveryEnd(delivery_id=email.id, status=D.FAILED, reason="gave_up")
    end = SettleInput(notification_id=before.notification_id, tenant=before.tenant, generation=1, ends=(closed,))
    return before, end


def test_a_step_that_turns_out_to_have_arrived_ends_the_notification() -> None:
    before, end = unanswered()
    [call] = before.attempts
    at = ledgers.later(2)
    after = settled(record_receipt(before, call, Evidence.DELIVERED, at, at), end, ledgers.later(3))
    assert (after.status, after.finished_at) == (N.DELIVERED, ledgers.later(3))
    assert ledgers.only(after).status is D.DELIVERED


def test_a_step_that_came_to_nothing_leaves_the_next_one_its_turn() -> None:
    before, end = unanswered()
    assert settled(before, end, ledgers.later(3)).finished_at is None
