"""A step that waits for its goal: whoever brings it wakes the workflow, whichever way the acceptance came."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.settlement import Settlement
from domain.evidence import Evidence
from domain.goal_messages import CheckInput, Standing
from domain.messages import Result
from models.columns import new_id
from storage import receipts
from storage.receipts import StoredReceipt
from tests.activities.conftest import Counter
from tests.storage.sends import Sent

pytestmark = pytest.mark.postgres


async def told(sent: Sent, kind: str) -> None:
    """A receipt of the first attempt, stored and applied."""
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
    async with sent.desk.database.transaction() as session:
        await receipts.store(session, [receipt])
        await receipts.apply(session, receipt, sent.attempt(), sent.key)


async def check(sent: Sent, *, over: bool = False, queued: datetime | None = None) -> Standing:
    asked = CheckInput(
        notification_id=sent.id,
        tenant=sent.desk.tenant,
        generation=1,
        step=1,
        goal=Evidence.OPENED,
        over=over,
        queued=queued,
    )
    answer = await ActivityEnvironment().run(Settlement(sent.desk.database).check_step, asked)
    standing: Standing = answer.standing
    return standing


async def delivered_after_a_lost_answer(counter: Counter, sent: Sent, *, reconciles: bool) -> None:
    """The call's answer was lost, a receipt came while nobody knew, and then the acceptance was read from the row."""
    call = replace(sent.call(ends=False), goal=Evidence.OPENED, reconciles=reconciles)
    await sent.claim()
    assert (await counter.deliver(call)).result is Result.UNKNOWN
    await told(sent, "delivered")
    again = counter.look_up(call) if reconciles else counter.deliver(replace(call, attempt_number=2))
    assert (await again).result is Result.ACCEPTED
    assert await check(sent) is Standing.WAITING
    await sent.desk.query("UPDATE queue_entry SET evidence_due = false WHERE notification_id = :id", id=sent.id)


@pytest.mark.parametrize("reconciles", [False, True])
@pytest.mark.parametrize("kind", ["opened", "bounced"])
async def test_what_comes_next_wakes_it(counter: Counter, sent: Sent, kind: str, reconciles: bool) -> None:
    await delivered_after_a_lost_answer(counter, sent, reconciles=reconciles)
    await told(sent, kind)
    entry = await sent.entry()
    assert entry is not None
    assert entry["evidence_due"] is True


@pytest.mark.parametrize("ended_by", ["bounced", "over"])
async def test_the_queue_resumes_no_wait_for_a_goal_that_has_ended(counter: Counter, sent: Sent, ended_by: str) -> None:
    """Its workflow is at the next step by then, or retries: a slot would be held for nothing."""
    await delivered_after_a_lost_answer(counter, sent, reconciles=False)
    deadline = datetime.now(UTC) + timedelta(hours=1)
    assert await check(sent, queued=deadline) is Standing.WAITING
    entry = await sent.entry()
    assert entry is not None
    assert [entry["state"], entry["waits_until"], entry["next_at"]] == ["waiting", deadline, deadline]
    if ended_by == "bounced":
        await told(sent, "bounced")
    await check(sent, over=ended_by == "over", queued=deadline)
    entry = await sent.entry()
    assert entry is not None
    assert [entry["state"], entry["waits_until"]] == ["started", None]


async def test_an_escalation_after_it_is_told(counter: Counter, sent: Sent) -> None:
    await delivered_after_a_lost_answer(counter, sent, reconciles=False)
    await check(sent, over=True)
    events = sorted(await sent.rows("event"), key=lambda event: event["position"])
    assert events[-1]["kind"] == "escalated"


async def test_a_cancel_during_the_wait_is_no_escalation(counter: Counter, sent: Sent) -> None:
    await delivered_after_a_lost_answer(counter, sent, reconciles=False)
    await sent.desk.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    await check(sent, over=True)
    assert "escalated" not in [event["kind"] for event in await sent.rows("event")]


async def test_a_vendor_is_not_asked_for_the_address_of_somebody_else(counter: Counter, sent: Sent) -> None:
    await sent.claim()
    await counter.deliver(sent.call(reconciles=True))
    await sent.desk.query("UPDATE recipient SET address_keys = '{}' WHERE tenant = :tenant", tenant=sent.desk.tenant)
    counter.sandbox.found = None
    assert (await counter.look_up(sent.call(), final=True)).result is Result.UNKNOWN
