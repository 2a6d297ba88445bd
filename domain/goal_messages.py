"""What travels through Temporal while a step waits for its goal."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.evidence import Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalCheckInput:
    """How far has a step come? `over`: the workflow waits no longer. `queued`: when the queue is to resume it."""

    notification_id: UUID
    tenant: UUID
    generation: int
    step: int
    goal: Evidence
    stopped: bool
    queued: datetime | None = None


class GoalState(StrEnum):
    """`MISSED`: every channel of the step failed meanwhile."""

    WAITING = "waiting"
    REACHED = "reached"
    MISSED = "missed"


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalCheckResult:
    goal_state: GoalState
