"""Wait for the goal of a step, such as `delivered` within 1 h."""

from datetime import datetime
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.settlement import SettlementActivities
    from domain.evidence import Evidence
    from domain.goal_messages import GoalCheckInput, GoalState
    from domain.goals import goal_deadline
    from domain.messages import StepPlan
    from workflows import options
    from workflows.local_activities import run_local_then_remote
    from workflows.steps import StepResult
    from workflows.waits import WorkflowWaits


class GoalWait:
    """Wait for one step. `ids` are the fields of activity inputs that identify the notification."""

    def __init__(self, waits: WorkflowWaits, ids: dict[str, Any], expires_at: datetime | None) -> None:
        self._waits = waits
        self._ids = ids
        self._expires_at = expires_at

    async def run(self, goal: Evidence, step_result: StepResult) -> bool:
        """Wait until the rows decide the goal, the deadline passes or a cancel arrives. Return whether it is met."""
        # The database clock sets sent_at and may be ahead of this clock.
        sent_at = min(step_result.sent_at or workflow.now(), workflow.now())
        deadline = goal_deadline(sent_at, step_result.step.within, self._expires_at)
        self._waits.show_status(options.WAITING)
        queued = deadline if deadline - workflow.now() > options.QUEUED_WAIT_THRESHOLD else None
        while True:
            stopped = deadline <= workflow.now() or self._waits.cancel_requested
            seen_signals = self._waits.signal_counts
            goal_state = await self._check(step_result.step, goal, stopped=stopped, queued=queued)
            if stopped or goal_state is not GoalState.WAITING:
                return goal_state is GoalState.REACHED
            await self._waits.wait_for_goal(seen_signals, f"until {goal}", deadline, queued=queued is not None)

    async def _check(self, step: StepPlan, goal: Evidence, *, stopped: bool, queued: datetime | None) -> GoalState:
        request = GoalCheckInput(**self._ids, step=step.number, goal=goal, stopped=stopped, queued=queued)
        result = await run_local_then_remote(SettlementActivities.check_step, request, f"is step {step.number} {goal}?")
        return result.goal_state
