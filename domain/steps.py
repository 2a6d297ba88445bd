"""How far a step has come that is for more than "sent": what it waits for, and what its end says."""

from dataclasses import replace
from datetime import datetime

from domain.evidence import Evidence
from domain.goal_messages import GoalState
from domain.ledger import await_evidence
from domain.overview import ARRIVED_STATUSES
from domain.records import DeliveryRecord, Ledger, TimelineEvent
from domain.statuses import DeliveryStatus

# Somebody may have it, or has it: more may be heard of it.
UNDECIDED_STATUSES = (*ARRIVED_STATUSES, DeliveryStatus.IN_DOUBT, DeliveryStatus.PENDING, DeliveryStatus.SENDING)


def step_deliveries(ledger: Ledger, step: int) -> list[DeliveryRecord]:
    """Of every generation: what an earlier one has sent may yet reach the goal."""
    return [delivery for delivery in ledger.deliveries.values() if delivery.step == step]


def has_reached(ledger: Ledger, step: int, goal: Evidence) -> bool:
    """Whether any channel of the step has got that far."""
    ids = {delivery.id for delivery in step_deliveries(ledger, step)}
    return any(attempt.proves(goal) for attempt in ledger.attempts.values() if attempt.delivery_id in ids)


def has_arrived(ledger: Ledger, step: int) -> bool:
    """Whether any channel of the step got through, as far as is known by now."""
    return any(delivery.status in ARRIVED_STATUSES for delivery in step_deliveries(ledger, step))


def goal_state(ledger: Ledger, step: int, goal: Evidence) -> GoalState:
    if has_reached(ledger, step, goal):
        return GoalState.REACHED
    is_undecided = any(delivery.status in UNDECIDED_STATUSES for delivery in step_deliveries(ledger, step))
    return GoalState.WAITING if is_undecided else GoalState.MISSED


def start_waiting(ledger: Ledger, step: int, goal: Evidence) -> Ledger:
    """For what is in doubt too: a receipt may yet tell."""
    for delivery in step_deliveries(ledger, step):
        if delivery.status in UNDECIDED_STATUSES:
            ledger = await_evidence(ledger, delivery.id, goal)
    return ledger


def escalate_step(ledger: Ledger, step: int, goal: Evidence, at: datetime) -> Ledger:
    """The wait is over without its goal; the next step runs. Nothing is awaited afterwards, so it is told once."""
    waiting = [delivery for delivery in step_deliveries(ledger, step) if delivery.awaits is not None]
    if not waiting:
        return ledger
    no_longer_waiting = {delivery.id: replace(delivery, awaits=None) for delivery in waiting}
    detail = {"step": step, "channels": sorted(delivery.channel for delivery in waiting), "goal": goal}
    event = TimelineEvent(at=at, kind="escalated", reason="goal_missed", detail=detail)
    return replace(ledger, deliveries={**ledger.deliveries, **no_longer_waiting}, events=(*ledger.events, event))
