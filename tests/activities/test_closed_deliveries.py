"""Test that a closed delivery gets no call, and that no notification stays open whose delivery has arrived."""

from types import SimpleNamespace

import pytest
from temporalio.testing import ActivityEnvironment

from activities import delivery
from activities.settlement import SettlementActivities
from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState, CallResult, Evidence
from domain.ledger import record_receipt
from domain.messages import NoCallResult
from domain.records import Ledger
from domain.settlement_messages import DeliveryEnd, SettleInput
from domain.settlements import settle_ledger
from domain.statuses import DeliveryStatus, NotificationStatus
from services import provider_calls
from storage import devices
from storage.devices import NewDevice
from tests.activities.conftest import ActivityWorker
from tests.domain import ledgers
from tests.storage.sends import DatabaseSend, DatabaseTenant

D, N = DeliveryStatus, NotificationStatus


async def retries_exhausted(sent: DatabaseSend, channel: Channel) -> None:
    """Close the delivery, and leave the notification open."""
    closed = DeliveryEnd(delivery_id=sent.delivery(channel), status=D.FAILED, reason="retries_exhausted")
    end = SettleInput(notification_id=sent.id, tenant=sent.database_tenant.tenant, generation=1, ends=(closed,))
    outcome = await ActivityEnvironment().run(SettlementActivities(sent.database_tenant.database).settle, end)
    assert outcome.status is N.PENDING


@pytest.mark.postgres
async def test_a_failed_delivery_makes_no_call(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent = await database_tenant.send(Channel.EMAIL, Channel.SMS)
    await retries_exhausted(sent, Channel.EMAIL)
    before = await sent.row()
    outcome = await activity_worker.deliver(sent.call(finishes_notification=False))
    assert (outcome.result, outcome.stopped_status, outcome.reason) == (
        NoCallResult.STOPPED,
        D.FAILED,
        "retries_exhausted",
    )
    assert (activity_worker.sandbox.calls, await sent.rows("attempt")) == ([], [])
    assert await sent.row() == before
    assert (await activity_worker.deliver(sent.call(channel=Channel.SMS))).result is CallResult.ACCEPTED


@pytest.mark.postgres
async def test_the_next_device_is_called_after_one_accepted(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    endpoints = []
    for name in ("phone", "tablet"):
        new = NewDevice(device=name, kind=DeviceKind.FCM, address={"token": f"t-{name}"})
        async with database_tenant.database.transaction() as session:
            saved = await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
        assert saved is not None
        endpoints.append(str(saved[0].id))
    sent = await database_tenant.send(Channel.PUSH)
    outcomes = [
        await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=id, finishes_notification=False))
        for id in endpoints
    ]
    assert [one.result for one in outcomes] == [CallResult.ACCEPTED, CallResult.ACCEPTED]


@pytest.mark.postgres
@pytest.mark.parametrize("seconds", [10, 3])
async def test_a_stall_before_the_call_is_an_error_without_a_call(
    activity_worker: ActivityWorker, sent: DatabaseSend, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Another worker may have taken over and recorded unknown in between."""
    began, claimed = 100.0, 100.0 + seconds
    clock = iter([began, claimed])
    for module in (delivery, provider_calls):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock, claimed)))
    stalled = seconds > provider_calls.STALLED_AFTER
    result = await activity_worker.deliver(sent.call())
    [attempt] = (await sent.ledger()).attempts.values()
    outcome = (result.result, result.reason, str(attempt.state), len(activity_worker.sandbox.calls))
    if stalled:
        assert outcome == (CallResult.NOT_ACCEPTED, "stalled", "not_accepted", 0)
    else:
        assert outcome == (CallResult.ACCEPTED, None, "accepted", 1)


def unanswered() -> tuple[Ledger, SettleInput]:
    """Record a call with an unknown outcome, and the end of its step without a final status, as the workflow then
    requests it."""
    email = ledgers.delivery()
    call = ledgers.attempt(email)
    before = ledgers.with_outcome(ledgers.ledger(email, call), call, AttemptState.UNKNOWN)
    closed = DeliveryEnd(delivery_id=email.id, status=D.FAILED, reason="retries_exhausted")
    end = SettleInput(notification_id=before.notification_id, tenant=before.tenant, generation=1, ends=(closed,))
    return before, end


def test_a_late_arrival_of_a_step_ends_the_notification() -> None:
    before, end = unanswered()
    [call] = before.attempts
    at = ledgers.later(2)
    after = settle_ledger(record_receipt(before, call, Evidence.DELIVERED, at, at), end, ledgers.later(3))
    assert (after.status, after.finished_at) == (N.DELIVERED, ledgers.later(3))
    assert ledgers.only_delivery(after).status is D.DELIVERED


def test_a_failed_step_starts_the_next_one() -> None:
    before, end = unanswered()
    assert settle_ledger(before, end, ledgers.later(3)).finished_at is None
