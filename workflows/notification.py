"""One notification, from its gates to its end. Started by `dispatch/`, for every row of `notification`."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.composition import Composition
    from activities.resolution import Resolution
    from activities.settlement import Settlement
    from domain.messages import (
        ChannelPlan,
        DeliverInput,
        DeliveryEnd,
        Endpoint,
        NotificationOutcome,
        NotificationStart,
        Plan,
        RenderInput,
        RenderResult,
        ResolveInput,
        SettleInput,
        StepPlan,
    )
    from domain.statuses import ON_ITS_WAY, DeliveryStatus, NotificationStatus
    from workflows import options
    from workflows.endpoint import EndpointDelivery, EndpointEnd, Terms, gravest
    from workflows.own_work import own_work

VERDICTS: dict[DeliveryStatus | None, NotificationStatus] = {
    DeliveryStatus.IN_DOUBT: NotificationStatus.IN_DOUBT,
    DeliveryStatus.CANCELED: NotificationStatus.CANCELED,
    DeliveryStatus.EXPIRED: NotificationStatus.EXPIRED,
}


@workflow.defn
class NotificationWorkflow:
    @workflow.init
    def __init__(self, start: NotificationStart) -> None:
        self._start = start
        self._cancel_requested = False
        self._where: list[SearchAttributeUpdate[Any]] = []

    @workflow.signal
    def cancel(self) -> None:
        """Wakes a wait. What is cancelled is decided by the row, which the guard and `settle` obey."""
        self._cancel_requested = True

    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        try:
            outcome = await self._send()
        except (Exception, asyncio.CancelledError) as error:
            # Cancelled by an operator in Temporal, or a mistake of ours: either way the row gets its end.
            cancelled = is_cancelled_exception(error)
            verdict = NotificationStatus.CANCELED if cancelled else NotificationStatus.FAILED
            await self._settle(verdict, reason="canceled_in_temporal" if cancelled else "internal")
            if cancelled:
                raise
            raise ApplicationError("FAILED: internal", type="Internal", non_retryable=True) from error
        return self._told(outcome)

    async def _send(self) -> NotificationOutcome:
        if over := await self._wait_for_gates():
            return over
        plan = await self._resolve()
        if plan.settled is not None:
            return plan.settled
        for step in plan.steps:
            if outcome := await self._run_step(step, plan):
                return outcome
        return await self._settle(NotificationStatus.FAILED)

    async def _wait_for_gates(self) -> NotificationOutcome | None:
        if self._start.send_at is not None and self._start.send_at > workflow.now():
            self._show(options.SCHEDULED)
            await self._pause(self._start.send_at - workflow.now(), "until send_at")
        if self._cancel_requested:
            return await self._settle(NotificationStatus.CANCELED, reason="canceled")
        if self._start.expires_at is not None and self._start.expires_at <= workflow.now():
            return await self._settle(NotificationStatus.EXPIRED, reason="expired")
        return None

    async def _resolve(self) -> Plan:
        return await own_work(Resolution.resolve_preferences, ResolveInput(**self._key()), "resolve preferences")

    async def _run_step(self, step: StepPlan, plan: Plan) -> NotificationOutcome | None:
        """None: no channel of the step got through, and the next step may try."""
        channels = [str(channel.channel) for channel in step.channels]
        names = ", ".join(channels)
        workflow.set_current_details(f"Step {step.number}: {names}")
        self._where = [options.STEP.value_set(step.number), options.CHANNEL.value_set(channels)]
        given = RenderInput(**self._key(), step=step)
        rendered = await own_work(Composition.render_messages, given, f"render step {step.number}: {names}")
        if rendered.closed:
            return await self._settle(NotificationStatus.CANCELED, reason="canceled")
        ends = await asyncio.gather(*(self._run_channel(step, channel, plan, rendered) for channel in step.channels))
        return await self._end_step(step, ends, last=step is plan.steps[-1])

    async def _run_channel(
        self, step: StepPlan, channel: ChannelPlan, plan: Plan, rendered: RenderResult
    ) -> EndpointEnd:
        if failure := rendered.failures.get(channel.delivery_id):
            return EndpointEnd(status=DeliveryStatus.FAILED, reason=failure)
        terms = Terms(
            guarantee=channel.guarantee,
            last_step=step is plan.steps[-1],
            patience=plan.patience,
            expires_at=self._start.expires_at,
            pause=self._pause_before_retry,
        )
        alone = len(step.channels) == 1 and len(channel.endpoints) == 1
        calls = [(self._call(channel, endpoint, ends=alone), endpoint) for endpoint in channel.endpoints]
        return gravest(await asyncio.gather(*(EndpointDelivery(*call, terms).run() for call in calls)))

    async def _end_step(self, step: StepPlan, ends: Sequence[EndpointEnd], *, last: bool) -> NotificationOutcome | None:
        if len(ends) == 1 and ends[0].result is not None and ends[0].result.finished:
            return NotificationOutcome(status=ends[0].result.status)  # `deliver` wrote the end as well
        closed = tuple(
            DeliveryEnd(delivery_id=channel.delivery_id, status=end.status, reason=end.reason)
            for channel, end in zip(step.channels, ends, strict=True)
            if end.status is not None
        )
        worst = gravest(ends).status
        if worst in VERDICTS or last or len(closed) < len(ends):
            return await self._settle(VERDICTS.get(worst, NotificationStatus.FAILED), closed)
        outcome = await self._settle(None, closed)
        return None if outcome.status is NotificationStatus.PENDING else outcome

    async def _settle(
        self, verdict: NotificationStatus | None, ends: tuple[DeliveryEnd, ...] = (), reason: str | None = None
    ) -> NotificationOutcome:
        given = SettleInput(**self._key(), ends=ends, verdict=verdict, reason=reason)
        return await own_work(Settlement.settle, given, f"settle: {verdict}" if verdict else "settle the step")

    async def _pause_before_retry(self, delay: timedelta, why: str, call: DeliverInput) -> bool:
        self._show(options.RETRYING)
        return await self._pause(delay, f"{call.channel}: {why}, attempt {call.attempt_number + 1} next")

    async def _pause(self, delay: timedelta, summary: str) -> bool:
        """True after the delay, False as soon as a cancel was asked for."""
        try:
            await workflow.wait_condition(lambda: self._cancel_requested, timeout=delay, timeout_summary=summary)
        except TimeoutError:
            return True
        return False

    def _told(self, outcome: NotificationOutcome) -> NotificationOutcome:
        """An unhappy end can be queried for; a failed notification is a failed workflow."""
        if outcome.status not in ON_ITS_WAY:
            self._show(outcome.status)
        if outcome.status is NotificationStatus.FAILED:
            raise ApplicationError(f"FAILED: {outcome.reason}", type="NotificationFailed", non_retryable=True)
        return outcome

    def _show(self, status: str) -> None:
        workflow.upsert_search_attributes([options.STATUS.value_set(status), *self._where])

    def _call(self, channel: ChannelPlan, endpoint: Endpoint, *, ends: bool) -> DeliverInput:
        return DeliverInput(
            **self._key(),
            delivery_id=channel.delivery_id,
            channel=channel.channel,
            endpoint_id=endpoint.id,
            provider=endpoint.providers[0].name,
            attempt_number=endpoint.resume_at,
            ends=ends,
        )

    def _key(self) -> dict[str, Any]:
        start = self._start
        return {"notification_id": start.notification_id, "tenant": start.tenant, "generation": start.generation}
