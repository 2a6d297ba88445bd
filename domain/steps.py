"""How far a step has come that is for more than "sent": what it waits for, and what its end says."""

from dataclasses import replace
from datetime import datetime

from domain.evidence import Evidence
from domain.goal_messages import Standing
from domain.ledger import await_evidence
from domain.overview import ARRIVED
from domain.records import Delivery, Event, Ledger
from domain.statuses import DeliveryStatus

# Somebody may have it, or has it: more may be heard of it.
HOPEFUL = (*ARRIVED, DeliveryStatus.IN_DOUBT, DeliveryStatus.PENDING, DeliveryStatus.SENDING)


def members(ledger: Ledger, step: int) -> list[Delivery]:
    """Of every generation: what an earlier one has sent may yet reach the goal."""
    return [delivery for delivery in ledger.deliveries.values() if delivery.step == step]


def reached(ledger: Ledger, step: int, goal: Evidence) -> bool:
    """Whether any channel of the step has got that far."""
    ids = {delivery.id for delivery in members(ledger, step)}
    return any(attempt.proves(goal) for attempt in ledger.attempts.values() if attempt.delivery_id in ids)


def arrived(ledger: Ledger, step: int) -> bool:
    """Whether any channel of the step got through, as far as is known by now."""
    return any(delivery.status in ARRIVED for delivery in members(ledger, step))


def standing(ledger: Ledger, step: int, goal: Evidence) -> Standing:
    if reached(ledger, step, goal):
        return Standing.REACHED
    hope = any(delivery.status in HOPEFUL for delivery in members(ledger, step))
    return Standing.WAITING if hope else Standing.MISSED


def open_wait(ledger: Ledger, step: int, goal: Evidence) -> Ledger:
    """For what is in doubt too: a receipt may yet tell."""
    for delivery in members(ledger, step):
        if delivery.status in HOPEFUL:
            ledger = await_evidence(ledger, delivery.id, goal)
    return ledger


def escalate(ledger: Ledger, step: int, goal: Evidence, at: datetime) -> Ledger:
    """The wait is over without its goal; the next step runs. Nothing is awaited afterwards, so it is told once."""
    waiting = [delivery for delivery in members(ledger, step) if delivery.awaits is not None]
    if not waiting:
        return ledger
    quiet = {delivery.id: replace(delivery, awaits=None) for delivery in waiting}
    detail = {"step": step, "channels": sorted(delivery.channel for delivery in waiting), "goal": goal}
    event = Event(at=at, kind="escalated", reason="goal_missed", detail=detail)
    return replace(ledger, deliveries={**ledger.deliveries, **quiet}, events=(*ledger.events, event))
