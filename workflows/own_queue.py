"""Calls on a provider's own queue, which workers poll that have the provider: there may be none, or a long backlog."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, TimeoutError, TimeoutType

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Delivering
    from activities.reconciliation import Reconciling
    from domain.messages import DeliverInput, DeliverResult, LookUpInput, PooledProvider, Result
    from domain.names import delivery_queue
    from domain.statuses import DeliveryStatus
    from workflows import options
    from workflows.waits import Waits


class OwnQueue:
    """One call of a provider. While no worker takes it, a cancel and its expiry are obeyed."""

    def __init__(self, call: DeliverInput, provider: PooledProvider, expires_at: datetime | None, waits: Waits) -> None:
        self._call = call
        self._provider = provider
        self._expires_at = expires_at
        self._waits = waits

    async def deliver(self) -> DeliverResult:
        """Ask on the workflow's own queue in between: the guard knows of a cancel and of the expiry, and a worker
        there knows whether any live process has the provider."""
        patience = options.QUEUE_PATIENCE
        while True:
            result = await self._queued(patience)
            if result is None:
                self._waits.renew_if_long()
                result = await self._unserved()
            if result.result is not Result.ELSEWHERE:
                return result
            patience = min(2 * patience, options.LONGEST_QUEUE_PATIENCE)

    async def _queued(self, patience: timedelta) -> DeliverResult | None:
        """None: no worker took it in time, or before a cancel."""
        handle = workflow.start_activity_method(
            Delivering.deliver,
            self._call,
            task_queue=delivery_queue(self._provider.name),
            schedule_to_start_timeout=self._until_expiry(patience),
            start_to_close_timeout=self._provider.timeout,
            retry_policy=options.PATIENT_RETRY,
            # A call that has begun is not abandoned: what it came to decides.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=call_summary(self._call),
        )
        known = self._waits.cancel_requested
        try:
            await workflow.wait_condition(
                lambda: handle.done() or self._waits.renewing or (self._waits.cancel_requested and not known)
            )
        except asyncio.CancelledError:
            handle.cancel()
            raise
        # Also a call that fails by an error of ours after that is not retried: the guard then says what is known of it.
        if is_canceled := not handle.done():
            handle.cancel()
        try:
            return await handle
        except ActivityError as error:
            if is_canceled or was_not_taken(error):
                return None
            raise

    def _until_expiry(self, patience: timedelta) -> timedelta:
        return patience if self._expires_at is None else min(patience, _until(self._expires_at))

    async def _unserved(self) -> DeliverResult:
        return await deliver_here(replace(self._call, unserved=True), self._provider, self._expires_at)


async def deliver_here(call: DeliverInput, provider: PooledProvider, expires_at: datetime | None) -> DeliverResult:
    """Call on the workflow's own queue. A call that no worker has taken when it expires is not made: if all processes
    are slow, the notification ends in time all the same."""
    try:
        return await workflow.execute_activity_method(
            Delivering.deliver,
            call,
            schedule_to_start_timeout=None if expires_at is None else _until(expires_at),
            start_to_close_timeout=provider.timeout,
            retry_policy=options.PATIENT_RETRY,
            summary=f"{call_summary(call)} (not taken)" if call.unserved else call_summary(call),
        )
    except ActivityError as error:
        if not was_not_taken(error):
            raise
        return DeliverResult(result=Result.STOPPED, stopped_as=DeliveryStatus.EXPIRED, reason="expired")


def _until(moment: datetime) -> timedelta:
    """At least a moment: the clock of the guard is another's, and may be behind this one."""
    return max(moment - workflow.now(), options.A_MOMENT)


async def look_up(given: LookUpInput, provider: PooledProvider) -> DeliverResult:
    """Ask the provider on its own queue; if no worker takes it, a worker of the workflow's own queue answers what the
    rows say, and asks if it can."""
    summary = f"ask {provider.name} for {given.call.channel} attempt {given.call.attempt_number}"
    try:
        return await workflow.execute_activity_method(
            Reconciling.look_up,
            given,
            task_queue=delivery_queue(provider.name),
            schedule_to_start_timeout=options.QUEUE_PATIENCE,
            start_to_close_timeout=provider.timeout,
            retry_policy=options.PATIENT_RETRY,
            summary=summary,
        )
    except ActivityError as error:
        if not was_not_taken(error):
            raise
    return await workflow.execute_activity_method(
        Reconciling.look_up,
        given,
        start_to_close_timeout=provider.timeout,
        retry_policy=options.PATIENT_RETRY,
        summary=f"{summary} (not taken)",
    )


def call_summary(call: DeliverInput) -> str:
    return f"{call.channel} by {call.provider}, attempt {call.attempt_number}"


def was_not_taken(error: ActivityError) -> bool:
    cause = error.cause
    return isinstance(cause, TimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START
