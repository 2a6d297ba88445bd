"""Call a provider on the provider's queue, or on the shared queue of all workflows. Only workers that have the provider
poll its queue: there may be none, or a long backlog."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, TimeoutError, TimeoutType

with workflow.unsafe.imports_passed_through():
    from activities.delivery import DeliveryActivities
    from activities.reconciliation import ReconciliationActivities
    from domain.messages import DeliverInput, DeliverResult, LookUpInput, NoCallResult, PlannedProvider
    from domain.names import delivery_queue
    from domain.statuses import DeliveryStatus
    from workflows import options
    from workflows.waits import WorkflowWaits


class ProviderQueueCall:
    """Make one call of a provider. A cancel and the expiry are obeyed while no worker starts the call."""

    def __init__(
        self, call: DeliverInput, provider: PlannedProvider, expires_at: datetime | None, waits: WorkflowWaits
    ) -> None:
        self._call = call
        self._provider = provider
        self._expires_at = expires_at
        self._waits = waits

    async def deliver(self) -> DeliverResult:
        """Deliver on the provider's queue. After each timeout, use the shared queue, whose guard applies a cancel and
        the expiry, and checks whether any live process has the provider."""
        queue_timeout = options.QUEUE_TIMEOUT
        while True:
            result = await self._deliver_on_provider_queue(queue_timeout)
            if result is None:
                self._waits.continue_as_new_if_long()
                result = await self._deliver_unserved()
            if result.result is not NoCallResult.NEEDS_PROVIDER_QUEUE:
                return result
            queue_timeout = min(2 * queue_timeout, options.MAX_QUEUE_TIMEOUT)

    async def _deliver_on_provider_queue(self, queue_timeout: timedelta) -> DeliverResult | None:
        """Return None if no worker started the call before the timeout or a cancel."""
        handle = self._start_call(queue_timeout)
        was_requested = self._waits.cancel_requested
        try:
            await workflow.wait_condition(
                lambda: (
                    handle.done() or self._waits.is_continuing or (self._waits.cancel_requested and not was_requested)
                )
            )
        except asyncio.CancelledError:
            handle.cancel()
            raise
        # A call that fails by an internal error after that is not retried: the guard returns the recorded outcome.
        if is_abandoned := not handle.done():
            handle.cancel()
        try:
            return await handle
        except ActivityError as error:
            if is_abandoned or is_start_timeout(error):
                return None
            raise

    def _start_call(self, queue_timeout: timedelta) -> workflow.ActivityHandle[DeliverResult]:
        return workflow.start_activity_method(
            DeliveryActivities.deliver,
            self._call,
            task_queue=delivery_queue(self._provider.name),
            schedule_to_start_timeout=self._start_timeout(queue_timeout),
            start_to_close_timeout=self._provider.timeout,
            retry_policy=options.UNLIMITED_RETRY,
            # A started call is not abandoned: its outcome decides.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=call_summary(self._call),
        )

    def _start_timeout(self, queue_timeout: timedelta) -> timedelta:
        return queue_timeout if self._expires_at is None else min(queue_timeout, _time_until(self._expires_at))

    async def _deliver_unserved(self) -> DeliverResult:
        return await deliver_on_shared_queue(replace(self._call, is_unserved=True), self._provider, self._expires_at)


async def deliver_on_shared_queue(
    call: DeliverInput, provider: PlannedProvider, expires_at: datetime | None
) -> DeliverResult:
    """Call on the shared queue. A call that no worker has started at its expiry is not made, so that the
    notification ends in time even if all processes are slow."""
    try:
        return await workflow.execute_activity_method(
            DeliveryActivities.deliver,
            call,
            schedule_to_start_timeout=None if expires_at is None else _time_until(expires_at),
            start_to_close_timeout=provider.timeout,
            retry_policy=options.UNLIMITED_RETRY,
            summary=f"{call_summary(call)} (no worker)" if call.is_unserved else call_summary(call),
        )
    except ActivityError as error:
        if not is_start_timeout(error):
            raise
        return DeliverResult(result=NoCallResult.STOPPED, stopped_status=DeliveryStatus.EXPIRED, reason="expired")


def _time_until(moment: datetime) -> timedelta:
    """Return the time until `moment`, at least MIN_WAIT: the clock of the guard may be behind this clock."""
    return max(moment - workflow.now(), options.MIN_WAIT)


async def look_up(request: LookUpInput, provider: PlannedProvider) -> DeliverResult:
    """Look up a message on the provider's queue. If no worker starts the lookup, use the shared queue: its worker
    returns the outcome in the rows, and queries the provider if this worker has it."""
    summary = f"look up at {provider.name}: {request.call.channel} attempt {request.call.attempt_number}"
    try:
        return await workflow.execute_activity_method(
            ReconciliationActivities.look_up,
            request,
            task_queue=delivery_queue(provider.name),
            schedule_to_start_timeout=options.QUEUE_TIMEOUT,
            start_to_close_timeout=provider.timeout,
            retry_policy=options.UNLIMITED_RETRY,
            summary=summary,
        )
    except ActivityError as error:
        if not is_start_timeout(error):
            raise
    return await workflow.execute_activity_method(
        ReconciliationActivities.look_up,
        request,
        start_to_close_timeout=provider.timeout,
        retry_policy=options.UNLIMITED_RETRY,
        summary=f"{summary} (no worker)",
    )


def call_summary(call: DeliverInput) -> str:
    return f"{call.channel} by {call.provider}, attempt {call.attempt_number}"


def is_start_timeout(error: ActivityError) -> bool:
    cause = error.cause
    return isinstance(cause, TimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START
