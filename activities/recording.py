"""Implement `record_outcome`: record an outcome that `deliver` could not record."""

from temporalio import activity

from domain.messages import DeliverResult, RecordInput
from services.attempt_outcomes import AttemptOutcome
from services.outcome_recording import OutcomeRecorder


class RecordingActivities:
    def __init__(self, recorder: OutcomeRecorder) -> None:
        self._recorder = recorder

    @activity.defn
    async def record_outcome(self, request: RecordInput) -> DeliverResult:
        """Record an outcome that `deliver` could not record because the database became unavailable after the call.
        An invalid device stays: the vendor will report it again."""
        return await self._recorder.record(request.call, AttemptOutcome(result=request.outcome))
