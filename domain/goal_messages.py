"""Define the messages of a step that waits for its goal."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.evidence import Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalCheckInput:
    """Ask how far a step has come. `stopped`: the workflow has stopped waiting. `queued`: when the queue resumes it."""

    notification_id: UUID
    tenant: UUID
    generation: int
    step: int
    goal: Evidence
    stopped: bool
    queued: datetime | None = None


class GoalState(StrEnum):
    """Name the state of a goal. `MISSED`: every channel of the step failed."""

    WAITING = "waiting"
    REACHED = "reached"
    MISSED = "missed"


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalCheckResult:
    goal_state: GoalState
