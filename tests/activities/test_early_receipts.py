"""Test receipts that arrive before the outcome of their call is recorded."""

from typing import Any

import pytest

from dispatch.receipt_applier import ReceiptApplier
from domain.evidence import CallResult
from domain.statuses import NotificationStatus
from storage.database import Database
from tests.activities.conftest import RECEIVED_AT, ActivityWorker, receive
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres
R, N = CallResult, NotificationStatus


async def test_a_submitting_row_with_a_receipt_is_accepted(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.claim()
    await receive(sent, attempt_id=sent.attempt())
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.DELIVERED)
    assert activity_worker.sandbox.calls == []


async def test_an_endpoint_with_a_late_acceptance_is_not_called_again(
    activity_worker: ActivityWorker, database: Database
) -> None:
    """`at_least_once` would resend, but a receipt came during the backoff."""
    sent = await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()
    assert (await activity_worker.deliver(sent.call())).result is R.UNKNOWN
    await receive(sent, attempt_id=sent.attempt())
    outcome = await activity_worker.deliver(sent.call(2))
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.DELIVERED)
    assert len(await sent.rows("sandbox_message")) == len(activity_worker.sandbox.calls) == 1


async def message_id(sent: DatabaseSend) -> str:
    [message] = await sent.rows("sandbox_message")
    return str(message["id"])


@pytest.mark.parametrize("by_reference", [True, False], ids=["by our reference", "by the vendor's id"])
async def test_a_receipt_before_the_recorded_outcome_counts(
    activity_worker: ActivityWorker, sent: DatabaseSend, by_reference: bool
) -> None:
    async def early() -> None:
        by: dict[str, Any] = (
            {"attempt_id": sent.attempt()} if by_reference else {"provider_message_id": await message_id(sent)}
        )
        await receive(sent, **by)

    activity_worker.sandbox.after_send = early
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status, outcome.finished) == (R.ACCEPTED, N.DELIVERED, True)
    assert (await sent.row())["status"] == "DELIVERED"
    [attempt] = await sent.rows("attempt")
    assert (attempt["state"], attempt["delivered_at"]) == ("accepted", RECEIVED_AT)
    assert (await sent.statuses())[-1] == "DELIVERED"


@pytest.mark.parametrize("by_reference", [True, False], ids=["by our reference", "by the vendor's id"])
async def test_a_bounce_before_the_recorded_outcome_starts_the_next_step(
    activity_worker: ActivityWorker, sent: DatabaseSend, by_reference: bool
) -> None:
    async def early() -> None:
        by: dict[str, Any] = (
            {"attempt_id": sent.attempt()} if by_reference else {"provider_message_id": await message_id(sent)}
        )
        await receive(sent, "bounced", **by)

    activity_worker.sandbox.after_send = early
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason, outcome.finished) == (R.REFUSED, "bounced", False)
    assert (await sent.row())["finished_at"] is None
    assert [row["status"] for row in await sent.rows("delivery")] == ["FAILED"]


async def test_an_early_receipt_is_applied_once(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    async def early() -> None:
        await receive(sent, provider_message_id=await message_id(sent), apply=False)

    activity_worker.sandbox.after_send = early
    outcome = await activity_worker.deliver(sent.call())
    assert outcome.status is N.DELIVERED
    before = await sent.row()
    await sent.database_tenant.query("UPDATE receipt SET next_attempt_at = now() WHERE applied_at IS NULL")
    await ReceiptApplier(sent.database_tenant.database).apply_waiting()
    assert await sent.row() == before
    found = await sent.database_tenant.query(
        "SELECT applied_at FROM receipt WHERE provider_message_id = :id", id=await message_id(sent)
    )
    assert [row["applied_at"] is not None for row in found] == [True]
