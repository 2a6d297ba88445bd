"""Test that after a redrive evidence of any generation counts in any order, and that old failures do not affect the
new generation."""

from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import OPEN_STATUSES
from domain.notification_overview import ARRIVED_STATUSES
from domain.reasons import Reason
from domain.records import AttemptRecord, DeliveryRecord, Ledger
from domain.redrives import DEAD_LETTER_STATUSES
from domain.statuses import (
    DELIVERY_TRANSITIONS,
    NOTIFICATION_TRANSITIONS,
    SENT_STATUSES,
    DeliveryStatus,
    NotificationStatus,
)
from tests.domain.ledgers import attempt, delivery, ledger, redriven
from tests.domain.test_ledger_order import ENDS, Fact, answer, applied, end, in_some_order, report, rows

S, E = AttemptState, Evidence

FIRST = (delivery(Channel.PUSH), delivery(Channel.SMS))
AGAIN = (delivery(Channel.PUSH, generation=2), delivery(Channel.SMS, generation=2))
OPTED_OUT = tuple(
    replace(one, status=DeliveryStatus.SKIPPED, is_skipped_by_rule=True, failure=Reason("opted_out", {"rule": "x"}))
    for one in AGAIN
)
LATE = [E.DELIVERED, E.OPENED, E.CLICKED]


def attempts_of(deliveries: tuple[DeliveryRecord, ...]) -> list[AttemptRecord]:
    push, sms = deliveries
    return [attempt(push, endpoint="phone"), attempt(push, endpoint="tablet"), attempt(sms, endpoint="sms")]


@dataclass(frozen=True)
class RedrivenNotification:
    """Hold a redriven notification. The facts arrive after the redrive."""

    failed: Ledger
    again: list[DeliveryRecord | AttemptRecord]
    late: list[Fact]
    facts: list[Fact]
    finale: Fact

    @property
    def redriven(self) -> Ledger:
        return redriven(self.failed, *self.again)


@st.composite
def some_calls(draw: st.DrawFn, deliveries: tuple[DeliveryRecord, ...]) -> list[AttemptRecord]:
    return draw(st.lists(st.sampled_from(attempts_of(deliveries)), min_size=1, max_size=3, unique=True))


def owners(calls: list[AttemptRecord], deliveries: tuple[DeliveryRecord, ...]) -> list[DeliveryRecord]:
    used = {call.delivery_id for call in calls}
    return [one for one in deliveries if one.id in used]


@st.composite
def receipts(draw: st.DrawFn, call: AttemptRecord, words: list[Evidence]) -> list[Fact]:
    seen = draw(st.lists(st.tuples(st.sampled_from(words), st.integers(60, 90)), max_size=3))
    return [report(call, evidence, at) for evidence, at in seen]


@st.composite
def what_was_late(draw: st.DrawFn, call: AttemptRecord, state: AttemptState) -> list[Fact]:
    """Return late evidence of a call that a vendor refused: it may have arrived, but it cannot have bounced."""
    refused = state in (S.REFUSED, S.NOT_ACCEPTED)
    words = LATE if refused else [*LATE, E.BOUNCED]
    return draw(receipts(call, words))


@st.composite
def stories(draw: st.DrawFn) -> RedrivenNotification:
    calls = draw(some_calls(FIRST))
    failed, late = ledger(*calls, *owners(calls, FIRST)), []
    for call in calls:
        # SUBMITTING: a worker resumes after the redrive, with the outcome of a call that it had begun.
        state = draw(st.sampled_from([S.REFUSED, S.NOT_ACCEPTED, S.UNKNOWN, S.ACCEPTED, S.SUBMITTING]))
        if state is not S.SUBMITTING:
            failed = answer(call, state, 1).apply(failed)
        if state is S.ACCEPTED:
            failed = report(call, E.BOUNCED, 2).apply(failed)
        if state is S.SUBMITTING:
            state = draw(st.sampled_from([S.REFUSED, S.UNKNOWN, S.ACCEPTED]))
            late.append(replace(answer(call, state, 55), own=False, name=f"{call.endpoint_id} late: {state}"))
        late += draw(what_was_late(call, state))
    failed = end(NotificationStatus.FAILED).apply(failed)
    again = draw(st.one_of(some_calls(AGAIN), st.just([])))
    owned = owners(again, AGAIN) or list(OPTED_OUT)
    facts = []
    for call in again:
        state = draw(st.sampled_from([S.REFUSED, S.NOT_ACCEPTED, S.UNKNOWN, S.ACCEPTED]))
        facts.append(answer(call, state, 51))
        if state in (S.ACCEPTED, S.UNKNOWN):
            facts += draw(receipts(call, [*LATE, E.BOUNCED]))
    finale = end(draw(st.sampled_from(ENDS)))
    return RedrivenNotification(failed=failed, again=[*again, *owned], late=late, facts=facts, finale=finale)


@given(st.data())
def test_any_order_and_repetition_gives_the_same_rows(data: st.DataObject) -> None:
    story = data.draw(stories())
    assert story.failed.status in DEAD_LETTER_STATUSES
    facts = [*story.late, *story.facts]
    straight = applied(story.redriven, [*story.facts, story.finale, *story.late])
    shuffled = applied(story.redriven, data.draw(in_some_order(facts, story.finale)))
    assert rows(shuffled) == rows(straight)


@given(st.data())
def test_every_change_is_in_the_tables_and_has_exactly_one_event(data: st.DataObject) -> None:
    story = data.draw(stories())
    known = story.redriven
    for fact in data.draw(in_some_order([*story.late, *story.facts], story.finale)):
        after = fact.apply(replace(known, events=()))
        path = [known.status, *(e.status for e in after.events if e.status is not None)]
        assert path[-1] is after.status
        assert all(to in NOTIFICATION_TRANSITIONS[at] for at, to in pairwise(path))
        for id, before in known.deliveries.items():
            event_statuses = [e.delivery_status for e in after.events if e.delivery_id == id]
            seen = [before.status, *(status for status in event_statuses if status is not None)]
            assert seen[-1] is after.deliveries[id].status
            assert all(to in DELIVERY_TRANSITIONS[at] for at, to in pairwise(seen))
        known = after


@given(st.data())
def test_arrived_deliveries_of_any_generation_count(
    data: st.DataObject,
) -> None:
    story = data.draw(stories())
    after = applied(story.redriven, data.draw(in_some_order([*story.late, *story.facts], story.finale)))
    statuses = {one.status for one in after.deliveries.values()}
    assert (after.status in SENT_STATUSES) is bool(statuses & set(ARRIVED_STATUSES))
    assert (after.status is NotificationStatus.IN_DOUBT) is (
        DeliveryStatus.IN_DOUBT in statuses and not statuses & set(ARRIVED_STATUSES)
    )
    assert not statuses & set(OPEN_STATUSES)


@given(st.data())
def test_definite_failures_of_the_past_do_not_affect_the_new_generation(data: st.DataObject) -> None:
    """Status and reason are those of a notification that was never sent before."""
    story = data.draw(stories())
    refused = [answer(call, S.REFUSED, 1) for call in attempts_of(FIRST)]
    failed = applied(ledger(*FIRST, *attempts_of(FIRST)), [*refused, end(NotificationStatus.FAILED)])
    fresh = redriven(ledger(), *story.again)
    order = data.draw(in_some_order(story.facts, story.finale))
    after, alone = applied(redriven(failed, *story.again), order), applied(fresh, order)
    assert (after.status, after.failure_reason) == (alone.status, alone.failure_reason)
    assert [(e.kind, e.status) for e in after.events] == [(e.kind, e.status) for e in alone.events]
