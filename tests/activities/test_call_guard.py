"""Test what stops a call, and what comes too late to stop it."""

import asyncio
from uuid import uuid4

import pytest

from domain.evidence import CallResult
from domain.messages import NoCallResult
from domain.reasons import reason_line
from domain.statuses import DeliveryStatus, NotificationStatus
from providers.outcomes import ProviderAcceptance
from storage import erasures, preferences
from storage.database import Database
from tests.activities.conftest import ActivityWorker
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres
R, N, D = CallResult, NotificationStatus, DeliveryStatus


async def assert_refused(
    activity_worker: ActivityWorker, sent: DatabaseSend, status: DeliveryStatus | None, reason: str | None
) -> None:
    """Assert that the guard refused: no call was made, and no attempt was recorded."""
    before = await sent.row()
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.stopped_status, reason_line(outcome.full_reason)) == (
        NoCallResult.STOPPED,
        status,
        reason or "stopped",
    )
    assert activity_worker.sandbox.calls == []
    assert await sent.rows("attempt") == []
    assert await sent.row() == before


async def test_a_cancel_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    await assert_refused(activity_worker, sent, D.CANCELED, "canceled")


async def test_an_expiry_is_obeyed_by_the_databases_clock(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query("UPDATE notification SET expires_at = now() WHERE id = :id", id=sent.id)
    await assert_refused(activity_worker, sent, D.EXPIRED, "expired")


async def test_an_opt_out_just_before_the_call_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await opt_out(sent)
    await assert_refused(activity_worker, sent, D.SKIPPED, "opted_out (global_channel_opt_in.email)")


async def test_an_opt_out_between_two_attempts_is_obeyed(activity_worker: ActivityWorker, database: Database) -> None:
    sent = await (await open_database_tenant(database, {"email": "ada+flaky@example.com"})).send()
    await activity_worker.deliver(sent.call())
    await opt_out(sent)
    outcome = await activity_worker.deliver(sent.call(2))
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, D.SKIPPED)
    assert len(activity_worker.sandbox.calls) == 1
    assert await sent.attempt_states() == [(1, "not_accepted", "temporary")]


async def test_an_erasure_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")
    await assert_refused(activity_worker, sent, D.SKIPPED, "recipient_erased")


async def test_the_response_about_a_recipient_erased_during_the_call_is_not_stored(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """It may quote the address. The fact that it was sent stays."""

    async def erase() -> None:
        async with sent.database_tenant.database.transaction() as session:
            await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")

    activity_worker.sandbox.answer = ProviderAcceptance(message_id=str(uuid4()), response={"to": "ada@example.com"})
    activity_worker.sandbox.after_send = erase
    assert (await activity_worker.deliver(sent.call())).result is R.ACCEPTED
    [attempt], [delivery] = await sent.rows("attempt"), await sent.rows("delivery")
    assert (attempt["state"], attempt["provider_response"]) == ("accepted", None)
    assert (delivery["status"], delivery["provider_response"]) == ("SENT", None)


async def test_a_contact_point_that_was_removed_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query(
        "UPDATE recipient SET contact = '{}' WHERE tenant = :tenant", tenant=sent.database_tenant.tenant
    )
    await assert_refused(activity_worker, sent, D.FAILED, "no_address")


async def test_a_notification_that_is_over_is_left_alone(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query(
        "UPDATE notification SET finished_at = now(), status = 'CANCELED' WHERE id = :id", id=sent.id
    )
    await assert_refused(activity_worker, sent, None, None)
    assert (await activity_worker.deliver(sent.call())).finished


async def test_an_opt_out_that_is_committed_while_the_guard_waits_is_obeyed(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    database_tenant = sent.database_tenant
    async with database_tenant.database.transaction() as session:
        await preferences.save(session, database_tenant.tenant, "ada", {"email": False}, {}, None)
        waiting = asyncio.create_task(activity_worker.deliver(sent.call()))
        await until_blocked(database_tenant.database, waiting)
    outcome = await waiting
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, D.SKIPPED)
    assert activity_worker.sandbox.calls == []
    assert await sent.rows("attempt") == []


async def test_an_opt_out_during_the_call_does_not_wait_for_it(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    activity_worker.sandbox.after_send = lambda: opt_out(sent)
    async with asyncio.timeout(60):
        assert (await activity_worker.deliver(sent.call())).result is R.ACCEPTED


async def test_a_cancel_during_the_call_is_recorded_with_its_outcome(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    async def cancel() -> None:
        statement = "UPDATE notification SET cancel_requested_at = now(), revision = revision + 1 WHERE id = :id"
        await sent.database_tenant.query(statement, id=sent.id)

    activity_worker.sandbox.after_send = cancel
    receipt = await activity_worker.deliver(sent.call())
    assert (receipt.result, receipt.status) == (R.ACCEPTED, N.SENT)
    row = await sent.row()
    assert (row["status"], row["cancel_requested_at"] is not None) == ("SENT", True)


async def opt_out(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await preferences.save(session, sent.database_tenant.tenant, "ada", {"email": False}, {}, None)
