"""Test that evidence for the goal wakes the workflow of a waiting step, however the acceptance was recorded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.settlement import SettlementActivities
from domain.evidence import CallResult, Evidence
from domain.goal_messages import GoalCheckInput, GoalState
from models.columns import new_id
from storage import receipts
from storage.receipts import StoredReceipt
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend

pytestmark = pytest.mark.postgres


async def apply_receipt(sent: DatabaseSend, kind: str) -> None:
    """Store and apply a receipt of the first attempt."""
    receipt = StoredReceipt(
        id=new_id(),
        provider="sandbox",
        kind=kind,
        attempt_id=sent.attempt(),
        provider_message_id=None,
        reason=None,
        occurred_at=datetime.now(UTC),
        raw={},
    )
    async with sent.database_tenant.database.transaction() as session:
        await receipts.store(session, [receipt])
        await receipts.apply_receipt(session, receipt, sent.attempt(), sent.ref)


async def check(sent: DatabaseSend, *, stopped: bool = False, queued: datetime | None = None) -> GoalState:
    asked = GoalCheckInput(
        notification_id=sent.id,
        tenant=sent.database_tenant.tenant,
        generation=1,
        step=1,
        goal=Evidence.OPENED,
        stopped=stopped,
        queued=queued,
    )
    answer = await ActivityEnvironment().run(SettlementActivities(sent.database_tenant.database).check_step, asked)
    goal_state: GoalState = answer.goal_state
    return goal_state


async def deliver_with_unknown_outcome(
    activity_worker: ActivityWorker, sent: DatabaseSend, *, waits_for_evidence: bool
) -> None:
    """Deliver with a lost response, a receipt during the unknown outcome, and then the acceptance from the row."""
    call = replace(sent.call(finishes_notification=False), goal=Evidence.OPENED, waits_for_evidence=waits_for_evidence)
    await sent.claim()
    assert (await activity_worker.deliver(call)).result is CallResult.UNKNOWN
    await apply_receipt(sent, "delivered")
    again = (
        activity_worker.look_up(call)
        if waits_for_evidence
        else activity_worker.deliver(replace(call, attempt_number=2))
    )
    assert (await again).result is CallResult.ACCEPTED
    assert await check(sent) is GoalState.WAITING
    await sent.database_tenant.query(
        "UPDATE queue_entry SET evidence_due = false WHERE notification_id = :id", id=sent.id
    )


@pytest.mark.parametrize("waits_for_evidence", [False, True])
@pytest.mark.parametrize("kind", ["opened", "bounced"])
async def test_a_later_event_wakes_the_waiting_step(
    activity_worker: ActivityWorker, sent: DatabaseSend, kind: str, waits_for_evidence: bool
) -> None:
    await deliver_with_unknown_outcome(activity_worker, sent, waits_for_evidence=waits_for_evidence)
    await apply_receipt(sent, kind)
    entry = await sent.entry()
    assert entry is not None
    assert entry["evidence_due"] is True


@pytest.mark.parametrize("ended_by", ["bounced", "over"])
async def test_the_queue_resumes_no_wait_for_a_goal_that_has_ended(
    activity_worker: ActivityWorker, sent: DatabaseSend, ended_by: str
) -> None:
    """Its workflow runs the next step, or retries: a slot would be held without use."""
    await deliver_with_unknown_outcome(activity_worker, sent, waits_for_evidence=False)
    deadline = datetime.now(UTC) + timedelta(hours=1)
    assert await check(sent, queued=deadline) is GoalState.WAITING
    entry = await sent.entry()
    assert entry is not None
    assert [entry["state"], entry["waits_until"], entry["next_at"]] == ["waiting", deadline, deadline]
    if ended_by == "bounced":
        await apply_receipt(sent, "bounced")
    await check(sent, stopped=ended_by == "over", queued=deadline)
    entry = await sent.entry()
    assert entry is not None
    assert [entry["state"], entry["waits_until"]] == ["started", None]


async def test_an_escalation_after_the_wait_is_recorded(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await deliver_with_unknown_outcome(activity_worker, sent, waits_for_evidence=False)
    await check(sent, stopped=True)
    events = sorted(await sent.rows("event"), key=lambda event: event["position"])
    assert events[-1]["kind"] == "escalated"


async def test_a_cancel_during_the_wait_is_no_escalation(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await deliver_with_unknown_outcome(activity_worker, sent, waits_for_evidence=False)
    await sent.database_tenant.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    await check(sent, stopped=True)
    assert "escalated" not in [event["kind"] for event in await sent.rows("event")]


async def test_an_address_of_another_recipient_is_not_looked_up(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await sent.claim()
    await activity_worker.deliver(sent.call(waits_for_evidence=True))
    await sent.database_tenant.query(
        "UPDATE recipient SET address_hashes = '{}' WHERE tenant = :tenant", tenant=sent.database_tenant.tenant
    )
    activity_worker.sandbox.found = None
    assert (await activity_worker.look_up(sent.call(), final=True)).result is CallResult.UNKNOWN
