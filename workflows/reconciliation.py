"""Reconcile a call with an unknown outcome: wait for evidence and look up the message at the provider."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.evidence import CallResult
    from domain.messages import LOOKUP_REFUSED, DeliverInput, DeliverResult, LookUpInput, PlannedProvider
    from domain.retries import lookup_times
    from workflows import options
    from workflows.provider_queue import look_up
    from workflows.waits import WorkflowWaits


class Reconciliation:
    def __init__(self, call: DeliverInput, provider: PlannedProvider, waits: WorkflowWaits) -> None:
        self._call = call
        self._provider = provider
        self._waits = waits

    async def run(self, unknown: DeliverResult, seen_evidence: int) -> DeliverResult:
        """Return the outcome once it is known. At the end of the settle window return `unknown`, or that the last
        lookup was refused; a receipt may arrive until then. A cancel does not end the wait. `seen_evidence` counts the
        evidence signals before the call."""
        if not self._provider.settles_within:
            return unknown
        self._waits.show_status(options.RECONCILING)
        attempt_key = f"{self._call.delivery_id}/{self._call.endpoint_id}/{self._call.attempt_number}"
        started_at = self._waits.unknown_since.setdefault(attempt_key, workflow.now())
        result = await self._look_up_until_settled(started_at, unknown, seen_evidence)
        self._waits.unknown_since.pop(attempt_key)
        return result

    async def _look_up_until_settled(
        self, started_at: datetime, unknown: DeliverResult, seen_evidence: int
    ) -> DeliverResult:
        result = unknown
        for at in lookup_times(self._provider.settles_within):
            was_woken = True
            while was_woken:
                remaining = started_at + at - workflow.now()
                was_woken = await self._waits.wait_for_evidence(
                    seen_evidence, remaining, f"{self._call.channel}: {unknown.reason}"
                )
                seen_evidence = self._waits.evidence_count
                result = await self._look_up(final=not was_woken and at == self._provider.settles_within)
                if result.result is not CallResult.UNKNOWN:
                    return result
        return result if result.reason == LOOKUP_REFUSED else unknown

    async def _look_up(self, *, final: bool) -> DeliverResult:
        with self._waits.call_in_progress():
            return await look_up(LookUpInput(call=self._call, final=final), self._provider)
