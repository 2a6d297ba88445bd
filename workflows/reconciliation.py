"""After a call whose answer was lost: wait for evidence, ask the vendor, and say what became of it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import Reconciling
    from domain.messages import DeliverInput, DeliverResult, LookUpInput, PooledProvider, Result
    from domain.names import delivery_queue
    from domain.retries import asking_times
    from workflows import options
    from workflows.waits import Waits


class Reconciliation:
    def __init__(self, call: DeliverInput, provider: PooledProvider, waits: Waits) -> None:
        self._call = call
        self._provider = provider
        self._waits = waits

    async def run(self, lost: DeliverResult, seen: int) -> DeliverResult:
        """`lost` again if nobody knows when the settle window is over. A cancel does not end it: what was sent, was.
        `seen` counts the evidence that had come before the call."""
        if not self._provider.settles_within:
            return lost
        began = workflow.now()
        self._waits.show(options.RECONCILING)
        for at in asking_times(self._provider.settles_within):
            woken = True
            while woken:
                left = began + at - workflow.now()
                woken = await self._waits.for_evidence(seen, left, f"{self._call.channel}: {lost.reason}")
                seen = self._waits.evidence
                told = await self._look_up(final=not woken and at == self._provider.settles_within)
                if told.result is not Result.UNKNOWN:
                    return told
        return lost

    async def _look_up(self, *, final: bool) -> DeliverResult:
        return await workflow.execute_activity_method(
            Reconciling.look_up,
            LookUpInput(call=self._call, final=final),
            task_queue=delivery_queue(self._provider.name),
            start_to_close_timeout=self._provider.timeout,
            retry_policy=options.PATIENT_RETRY,
            summary=f"ask {self._provider.name} for {self._call.channel} attempt {self._call.attempt_number}",
        )
