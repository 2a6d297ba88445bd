"""After a call whose answer was lost: wait for evidence, ask the vendor, and say what became of it."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import LOOKUP_REFUSED, DeliverInput, DeliverResult, LookUpInput, PooledProvider, Result
    from domain.retries import asking_times
    from workflows import options
    from workflows.own_queue import look_up
    from workflows.waits import Waits


class Reconciliation:
    def __init__(self, call: DeliverInput, provider: PooledProvider, waits: Waits) -> None:
        self._call = call
        self._provider = provider
        self._waits = waits

    async def run(self, lost: DeliverResult, seen: int) -> DeliverResult:
        """Return the outcome once it is known. At the end of the settle window return `lost`, or that the last look-up
        was refused: a receipt may come until then. A cancel does not end the wait. `seen` counts the evidence that
        had come before the call."""
        if not self._provider.settles_within:
            return lost
        self._waits.show(options.RECONCILING)
        name = f"{self._call.delivery_id}/{self._call.endpoint_id}/{self._call.attempt_number}"
        began = self._waits.lost_since.setdefault(name, workflow.now())
        result = await self._asked_until(began, lost, seen)
        self._waits.lost_since.pop(name)
        return result

    async def _asked_until(self, began: datetime, lost: DeliverResult, seen: int) -> DeliverResult:
        result = lost
        for at in asking_times(self._provider.settles_within):
            woken = True
            while woken:
                left = began + at - workflow.now()
                woken = await self._waits.for_evidence(seen, left, f"{self._call.channel}: {lost.reason}")
                seen = self._waits.evidence
                result = await self._look_up(final=not woken and at == self._provider.settles_within)
                if result.result is not Result.UNKNOWN:
                    return result
        return result if result.reason == LOOKUP_REFUSED else lost

    async def _look_up(self, *, final: bool) -> DeliverResult:
        with self._waits.call():
            return await look_up(LookUpInput(call=self._call, final=final), self._provider)
