"""Test that after a redrive nothing that the last generation has sent is sent again, and that its worker ends
nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.settlement import SettlementActivities
from domain.evidence import AttemptState, CallResult, Evidence
from domain.goal_messages import GoalCheckInput, GoalCheckResult, GoalState
from domain.ledger import await_evidence, finish_notification, record_receipt
from domain.messages import DeliverResult, NoCallResult
from domain.reasons import Reason
from domain.statuses import DeliveryStatus
from storage.ledgers import LedgerChange, amend
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def failed_generation(database_tenant: DatabaseTenant) -> DatabaseSend:
    """Return a generation that failed."""
    return await (await database_tenant.send()).failed()


async def amended(sent: DatabaseSend, change: LedgerChange) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await amend(session, sent.ref, change)


async def report(sent: DatabaseSend, evidence: Evidence) -> None:
    await amended(sent, lambda ledger: record_receipt(ledger, sent.attempt(), evidence, AT, AT))


async def shown(sent: DatabaseSend) -> dict[int, str]:
    return {row["generation"]: row["status"] for row in await sent.rows("delivery")}


async def test_a_message_sent_by_an_earlier_generation_is_not_resent(
    activity_worker: ActivityWorker, failed_generation: DatabaseSend
) -> None:
    again = await failed_generation.redriven()
    await report(failed_generation, Evidence.DELIVERED)
    outcome = await activity_worker.deliver(again.call())
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, DeliveryStatus.SKIPPED)
    assert outcome.full_reason == Reason("already_sent", {"generation": 1})
    assert activity_worker.sandbox.calls == []
    assert len(await again.rows("attempt")) == 1


@pytest.mark.parametrize("evidence", [None, Evidence.BOUNCED])
async def test_an_undelivered_message_is_resent(
    activity_worker: ActivityWorker, failed_generation: DatabaseSend, evidence: Evidence | None
) -> None:
    again = await failed_generation.redriven()
    if evidence is not None:
        await report(failed_generation, evidence)
    assert (await activity_worker.deliver(again.call())).result is CallResult.ACCEPTED
    assert len(activity_worker.sandbox.calls) == 1
    assert await shown(again) == {1: "FAILED", 2: "SENT"}
    assert (await again.row())["status"] == "SENT"


async def test_the_outcome_of_a_call_overtaken_by_a_redrive_counts(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """The workflow was lost during the call, and an operator forced a redrive before the outcome was recorded."""
    again: list[DatabaseSend] = []

    async def fail_and_redrive() -> None:
        await amended(sent, lambda ledger: finish_notification(ledger, AT, reason=Reason("workflow_ended")))
        again.append(await sent.redriven())

    activity_worker.sandbox.after_send = fail_and_redrive
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.finished) == (CallResult.ACCEPTED, False)
    assert await shown(sent) == {1: "SENT", 2: "PENDING"}
    row = await sent.row()
    assert (row["status"], row["finished_at"], row["generation"]) == ("SENT", None, 2)
    activity_worker.sandbox.after_send = None
    assert (await activity_worker.deliver(again[0].call())).full_reason == Reason("already_sent", {"generation": 1})
    assert len(activity_worker.sandbox.calls) == 1


@pytest.mark.parametrize(
    ("result", "more"),
    [(CallResult.ACCEPTED, {"goal": Evidence.OPENED}), (CallResult.UNKNOWN, {"waits_for_evidence": True})],
)
async def test_an_open_late_outcome_wakes_no_workflow(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, result: CallResult, more: dict[str, Any]
) -> None:
    sent = await database_tenant.send()
    await sent.claim()
    await amended(sent, lambda ledger: finish_notification(ledger, AT, reason=Reason("workflow_ended")))
    await sent.redriven()
    await activity_worker.record(sent.call(**more), DeliverResult(result=result))
    assert [row["awaited_evidence"] for row in await sent.rows("delivery")] == [None, None]


async def test_a_workflow_that_was_overtaken_has_nothing_left_to_wait_for(failed_generation: DatabaseSend) -> None:
    again = await failed_generation.redriven()
    await again.claim()
    await again.answer(AttemptState.ACCEPTED)
    await amended(again, lambda ledger: await_evidence(ledger, again.delivery(), Evidence.OPENED))
    before = await again.row()
    asked = GoalCheckInput(
        notification_id=failed_generation.id,
        tenant=failed_generation.database_tenant.tenant,
        generation=1,
        step=1,
        goal=Evidence.OPENED,
        stopped=True,
    )
    answer: GoalCheckResult = await ActivityEnvironment().run(
        SettlementActivities(failed_generation.database_tenant.database).check_step, asked
    )
    assert answer.goal_state is GoalState.REACHED
    assert await again.row() == before
    assert "escalated" not in [event["kind"] for event in await again.rows("event")]
