"""Determine how far a step with a goal beyond "sent" has come: what it waits for, and how it ends."""

from dataclasses import replace
from datetime import datetime

from domain.evidence import Evidence
from domain.goal_messages import GoalState
from domain.ledger import await_evidence
from domain.notification_overview import ARRIVED_STATUSES
from domain.records import DeliveryRecord, Ledger, TimelineEvent
from domain.statuses import DeliveryStatus

# An endpoint has the message or may have it: more evidence may arrive.
UNDECIDED_STATUSES = (*ARRIVED_STATUSES, DeliveryStatus.IN_DOUBT, DeliveryStatus.PENDING, DeliveryStatus.SENDING)


def step_deliveries(ledger: Ledger, step: int) -> list[DeliveryRecord]:
    """Return the deliveries of every generation: a message of an earlier one may still reach the goal."""
    return [delivery for delivery in ledger.deliveries.values() if delivery.step == step]


def has_reached(ledger: Ledger, step: int, goal: Evidence) -> bool:
    """Return whether any channel of the step has reached the goal."""
    ids = {delivery.id for delivery in step_deliveries(ledger, step)}
    return any(attempt.proves(goal) for attempt in ledger.attempts.values() if attempt.delivery_id in ids)


def has_arrived(ledger: Ledger, step: int) -> bool:
    """Return whether any channel of the step has arrived, as far as is known."""
    return any(delivery.status in ARRIVED_STATUSES for delivery in step_deliveries(ledger, step))


def goal_state(ledger: Ledger, step: int, goal: Evidence) -> GoalState:
    if has_reached(ledger, step, goal):
        return GoalState.REACHED
    is_undecided = any(delivery.status in UNDECIDED_STATUSES for delivery in step_deliveries(ledger, step))
    return GoalState.WAITING if is_undecided else GoalState.MISSED


def start_waiting(ledger: Ledger, step: int, goal: Evidence) -> Ledger:
    """Start the wait, also for deliveries in doubt: a receipt may still arrive."""
    for delivery in step_deliveries(ledger, step):
        if delivery.status in UNDECIDED_STATUSES:
            ledger = await_evidence(ledger, delivery.id, goal)
    return ledger


def escalate_step(ledger: Ledger, step: int, goal: Evidence, at: datetime) -> Ledger:
    """End the wait without its goal: the next step runs. Afterwards nothing is awaited, so that the event is
    recorded once."""
    waiting = [delivery for delivery in step_deliveries(ledger, step) if delivery.awaited_evidence is not None]
    if not waiting:
        return ledger
    no_longer_waiting = {delivery.id: replace(delivery, awaited_evidence=None) for delivery in waiting}
    detail = {"step": step, "channels": sorted(delivery.channel for delivery in waiting), "goal": goal}
    event = TimelineEvent(at=at, kind="escalated", reason="goal_missed", detail=detail)
    return replace(ledger, deliveries={**ledger.deliveries, **no_longer_waiting}, events=(*ledger.events, event))
