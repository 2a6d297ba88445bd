"""Test I6 and I12: any permutation and duplication of reports gives the same rows, with one event per change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import close_delivery, finish_notification, record_outcome, record_receipt
from domain.notification_overview import delivery_facts
from domain.reasons import Reason
from domain.records import AttemptRecord, DeliveryDecision, Ledger
from domain.statuses import DELIVERY_TRANSITIONS, NOTIFICATION_TRANSITIONS, DeliveryStatus, NotificationStatus
from tests.domain.ledgers import attempt, delivery, later, ledger

PUSH, SMS = delivery(Channel.PUSH), delivery(Channel.SMS)
CALLS = (
    attempt(PUSH, endpoint="phone"),
    attempt(PUSH, endpoint="tablet"),
    attempt(PUSH, number=2, endpoint="phone"),
    attempt(SMS, endpoint="sms"),
)
REPORTED = [Evidence.DELIVERED, Evidence.BOUNCED, Evidence.OPENED, Evidence.CLICKED]
ENDS = [NotificationStatus.FAILED, NotificationStatus.CANCELED, NotificationStatus.EXPIRED]


@dataclass(frozen=True)
class Fact:
    """Hold a fact. `apply` applies it to the ledger; all own outcomes must be applied before the workflow ends."""

    apply: Callable[[Ledger], Ledger]
    own: bool
    name: str


def answer(call: AttemptRecord, state: AttemptState, at: float) -> Fact:
    def apply(before: Ledger) -> Ledger:
        return record_outcome(before, before.attempts[call.id], state, later(at))

    return Fact(apply, own=True, name=f"{call.endpoint_id} {call.number} answers {state}")


def report(call: AttemptRecord, evidence: Evidence, at: float) -> Fact:
    def apply(before: Ledger) -> Ledger:
        return record_receipt(before, call.id, evidence, later(at), later(at))

    return Fact(apply, own=False, name=f"{call.endpoint_id} {call.number} reports {evidence} at {at}")


def end(status: NotificationStatus) -> Fact:
    """End the notification as `settle` does: first the failed deliveries, then the notification."""
    closing = {
        NotificationStatus.CANCELED: DeliveryStatus.CANCELED,
        NotificationStatus.EXPIRED: DeliveryStatus.EXPIRED,
    }.get(status, DeliveryStatus.FAILED)

    def apply(before: Ledger) -> Ledger:
        for id in before.deliveries:
            before = close_delivery(before, id, DeliveryDecision(status=closing, reason=Reason("ended")), later(50))
        return finish_notification(before, later(50), status, Reason("ended"))

    return Fact(apply, own=True, name=f"ends {status}")


@st.composite
def what_happened(draw: st.DrawFn) -> tuple[list[AttemptRecord], list[Fact], Fact]:
    """Draw some calls, each with its outcome and, if the provider may have the message, some receipts."""
    calls = draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=4, unique=True))
    facts = []
    for call in calls:
        state = draw(st.sampled_from([s for s in AttemptState if s is not AttemptState.SUBMITTING]))
        facts.append(answer(call, state, draw(st.integers(1, 9))))
        if state in (AttemptState.ACCEPTED, AttemptState.UNKNOWN):
            seen = draw(st.lists(st.tuples(st.sampled_from(REPORTED), st.integers(1, 30)), max_size=4))
            facts += [report(call, evidence, at) for evidence, at in seen]
    return calls, facts, end(draw(st.sampled_from(ENDS)))


@st.composite
def in_some_order(draw: st.DrawFn, facts: list[Fact], finale: Fact) -> list[Fact]:
    """Draw an order with every fact once or more. The workflow ends after its own outcomes; receipts come before and
    after that."""
    repeated = [*facts, *draw(st.lists(st.sampled_from(facts), max_size=4) if facts else st.just([]))]
    order = draw(st.permutations(repeated))
    own = {fact.name for fact in facts if fact.own}
    ready = next(n for n in range(len(order) + 1) if own <= {fact.name for fact in order[:n]})
    place = draw(st.integers(ready, len(order)))
    return [*order[:place], finale, *order[place:]]


def applied(start: Ledger, facts: Sequence[Fact]) -> Ledger:
    for fact in facts:
        start = fact.apply(start)
    return start


def rows(of: Ledger) -> dict[str, object]:
    """Return what the database shows, without the reason of a doubt, which depends on the order."""
    certain = {d.id: d.failure for d in of.deliveries.values() if d.status is not DeliveryStatus.IN_DOUBT}
    return {
        "status": of.status,
        "finished_at": of.finished_at,
        "deliveries": {d.id: d.status for d in of.deliveries.values()},
        "reasons": certain,
        "facts": {id: delivery_facts(of, id) for id in of.deliveries},
        "attempts": of.attempts,
    }


def ledger_with_calls(calls: list[AttemptRecord]) -> Ledger:
    used = {call.delivery_id for call in calls}
    return ledger(*calls, *(one for one in (PUSH, SMS) if one.id in used))


@given(st.data())
def test_any_order_and_repetition_gives_the_same_rows(data: st.DataObject) -> None:
    calls, facts, finale = data.draw(what_happened())
    start = ledger_with_calls(calls)
    straight = applied(start, [*(f for f in facts if f.own), *(f for f in facts if not f.own), finale])
    shuffled = applied(start, data.draw(in_some_order(facts, finale)))
    assert rows(shuffled) == rows(straight)


@given(st.data())
def test_every_change_is_in_the_tables_and_has_exactly_one_event(data: st.DataObject) -> None:
    calls, facts, finale = data.draw(what_happened())
    known = ledger_with_calls(calls)
    for fact in data.draw(in_some_order(facts, finale)):
        after = fact.apply(replace(known, events=()))  # each fact is a transaction, which starts without events
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
def test_a_sent_delivery_fails_only_by_a_bounce(data: st.DataObject) -> None:
    """Invariant I5, over the ledger alone."""
    calls, facts, finale = data.draw(what_happened())
    after = applied(ledger_with_calls(calls), data.draw(in_some_order(facts, finale)))
    for id, one in after.deliveries.items():
        evidence = {a.evidence for a in after.attempts_of(id)}
        if one.status is DeliveryStatus.FAILED:
            assert evidence <= {None, Evidence.NOT_SENT, Evidence.BOUNCED}
        if one.status in (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.OPENED):
            assert evidence & {Evidence.SENT, Evidence.DELIVERED, Evidence.OPENED, Evidence.CLICKED}
