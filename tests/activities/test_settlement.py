"""Test that `settle` writes the ends that no provider call writes; repeated or too late, it only returns the
outcome."""

from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.settlement import SettlementActivities
from domain.channels import Channel
from domain.evidence import AttemptState
from domain.messages import NotificationOutcome
from domain.settlement_messages import DeliveryEnd, SettleInput
from domain.statuses import DeliveryStatus, NotificationStatus
from storage import receipts
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
D, N = DeliveryStatus, NotificationStatus


async def settle(sent: DatabaseSend, *ends: DeliveryEnd, **more: Any) -> NotificationOutcome:
    given = SettleInput(
        notification_id=sent.id, tenant=sent.database_tenant.tenant, ends=ends, **{"generation": 1, **more}
    )
    outcome: NotificationOutcome = await ActivityEnvironment().run(
        SettlementActivities(sent.database_tenant.database).settle, given
    )
    return outcome


def end(sent: DatabaseSend, status: DeliveryStatus = D.FAILED, channel: Channel = Channel.EMAIL) -> DeliveryEnd:
    return DeliveryEnd(delivery_id=sent.delivery(channel), status=status, reason="retries_exhausted")


async def statuses(sent: DatabaseSend) -> dict[str, str]:
    return {row["channel"]: row["status"] for row in await sent.rows("delivery")}


async def test_deliveries_without_a_final_status_end_and_the_notification_stays_open(sent: DatabaseSend) -> None:
    assert await settle(sent, end(sent)) == NotificationOutcome(status=N.PENDING)
    assert await statuses(sent) == {"email": "FAILED"}
    assert (await sent.row())["finished_at"] is None


async def test_a_final_status_finishes_the_notification(database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send(Channel.EMAIL, Channel.SMS)
    outcome = await settle(sent, end(sent), verdict=N.FAILED)
    assert outcome.status is N.FAILED
    assert await statuses(sent) == {"email": "FAILED", "sms": "FAILED"}
    row = await sent.row()
    assert row["finished_at"] is not None
    assert row["failure_reason"] == outcome.reason == "email: retries_exhausted; sms: not_sent"


async def test_a_repeated_settle_writes_once(sent: DatabaseSend) -> None:
    first = await settle(sent, end(sent), verdict=N.FAILED)
    before = await sent.row()
    assert await settle(sent, end(sent), verdict=N.FAILED) == first
    assert await sent.row() == before
    assert await sent.statuses() == ["PENDING", "FAILED"]


async def test_a_workflow_of_another_generation_ends_nothing(sent: DatabaseSend) -> None:
    before = await sent.row()
    assert (await settle(sent, end(sent), verdict=N.FAILED, generation=2)).status is N.PENDING
    assert await sent.row() == before


async def test_a_receipt_that_came_before_the_end_was_written_is_not_overruled(sent: DatabaseSend) -> None:
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)
    receipt = receipts.StoredReceipt(
        id=sent.id,
        provider="sandbox",
        kind="delivered",
        attempt_id=sent.attempt(),
        provider_message_id=None,
        reason=None,
        occurred_at=(await sent.row())["created_at"],
        raw={},
    )
    async with sent.database_tenant.database.transaction() as session:
        await receipts.store(session, [receipt])
        await receipts.apply_receipt(session, receipt, sent.attempt(), sent.ref)
    outcome = await settle(sent, end(sent, D.IN_DOUBT), verdict=N.IN_DOUBT)
    assert outcome.status is N.DELIVERED
    assert await statuses(sent) == {"email": "DELIVERED"}


async def test_an_unknown_call_makes_a_failure_a_doubt(sent: DatabaseSend) -> None:
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)
    assert (await settle(sent, end(sent), verdict=N.FAILED)).status is N.IN_DOUBT


async def test_a_delivery_that_was_never_written_ends_nothing(sent: DatabaseSend) -> None:
    """The template failed before the row, or the recipient was erased in between."""
    outcome = await settle(sent, end(sent, channel=Channel.SMS), verdict=N.CANCELED, reason="canceled")
    assert (outcome.status, await statuses(sent)) == (N.CANCELED, {"email": "CANCELED"})
