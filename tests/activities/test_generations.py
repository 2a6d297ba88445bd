"""After a redrive: what the last generation turns out to have sent is not sent again, and its worker ends nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.settlement import Settlement
from domain.evidence import AttemptState, Evidence
from domain.goal_messages import CheckInput, Standing, StepStanding
from domain.ledger import await_evidence, finish, record_receipt
from domain.messages import DeliverResult, Result
from domain.reasons import Reason
from domain.statuses import DeliveryStatus
from storage.ledgers import Change, amend
from tests.activities.conftest import Counter
from tests.storage.sends import Desk, Sent

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def first(desk: Desk) -> Sent:
    """A generation that failed."""
    return await (await desk.send()).failed()


async def amended(sent: Sent, change: Change) -> None:
    async with sent.desk.database.transaction() as session:
        await amend(session, sent.key, change)


async def report(sent: Sent, evidence: Evidence) -> None:
    await amended(sent, lambda ledger: record_receipt(ledger, sent.attempt(), evidence, AT, AT))


async def shown(sent: Sent) -> dict[int, str]:
    return {row["generation"]: row["status"] for row in await sent.rows("delivery")}


async def test_what_an_earlier_generation_turns_out_to_have_sent_is_not_sent_again(
    counter: Counter, first: Sent
) -> None:
    again = await first.redriven()
    await report(first, Evidence.DELIVERED)
    told = await counter.deliver(again.call())
    assert (told.result, told.stopped_as) == (Result.STOPPED, DeliveryStatus.SKIPPED)
    assert told.why == Reason("already_sent", {"generation": 1})
    assert counter.sandbox.calls == []
    assert len(await again.rows("attempt")) == 1


@pytest.mark.parametrize("evidence", [None, Evidence.BOUNCED])
async def test_what_did_not_arrive_is_sent_again(counter: Counter, first: Sent, evidence: Evidence | None) -> None:
    again = await first.redriven()
    if evidence is not None:
        await report(first, evidence)
    assert (await counter.deliver(again.call())).result is Result.ACCEPTED
    assert len(counter.sandbox.calls) == 1
    assert await shown(again) == {1: "FAILED", 2: "SENT"}
    assert (await again.row())["status"] == "SENT"


async def test_the_answer_of_a_call_that_a_redrive_overtook_counts_and_ends_nothing(
    counter: Counter, sent: Sent
) -> None:
    """The workflow was lost with the call under way; somebody sends it again by force before the answer is here."""
    again: list[Sent] = []

    async def meanwhile() -> None:
        await amended(sent, lambda ledger: finish(ledger, AT, reason=Reason("workflow_ended")))
        again.append(await sent.redriven())

    counter.sandbox.afterwards = meanwhile
    told = await counter.deliver(sent.call())
    assert (told.result, told.finished) == (Result.ACCEPTED, False)
    assert await shown(sent) == {1: "SENT", 2: "PENDING"}
    row = await sent.row()
    assert (row["status"], row["finished_at"], row["generation"]) == ("SENT", None, 2)
    counter.sandbox.afterwards = None
    assert (await counter.deliver(again[0].call())).why == Reason("already_sent", {"generation": 1})
    assert len(counter.sandbox.calls) == 1


@pytest.mark.parametrize(
    ("result", "more"), [(Result.ACCEPTED, {"goal": Evidence.OPENED}), (Result.UNKNOWN, {"reconciles": True})]
)
async def test_nobody_waits_any_more_for_what_a_late_answer_leaves_open(
    counter: Counter, desk: Desk, result: Result, more: dict[str, Any]
) -> None:
    sent = await desk.send()
    await sent.claim()
    await amended(sent, lambda ledger: finish(ledger, AT, reason=Reason("workflow_ended")))
    await sent.redriven()
    await counter.record(sent.call(**more), DeliverResult(result=result))
    assert [row["awaits"] for row in await sent.rows("delivery")] == [None, None]


async def test_a_workflow_that_was_overtaken_has_nothing_left_to_wait_for(first: Sent) -> None:
    again = await first.redriven()
    await again.claim()
    await again.answer(AttemptState.ACCEPTED)
    await amended(again, lambda ledger: await_evidence(ledger, again.delivery(), Evidence.OPENED))
    before = await again.row()
    asked = CheckInput(
        notification_id=first.id, tenant=first.desk.tenant, generation=1, step=1, goal=Evidence.OPENED, over=True
    )
    answer: StepStanding = await ActivityEnvironment().run(Settlement(first.desk.database).check_step, asked)
    assert answer.standing is Standing.REACHED
    assert await again.row() == before
    assert "escalated" not in [event["kind"] for event in await again.rows("event")]
