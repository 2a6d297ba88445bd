"""Run one step of a route: render its channels and deliver them concurrently to all their endpoints."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.planning import PlanningActivities
    from domain.messages import (
        ChannelPlan,
        DeliverInput,
        DeliverResult,
        Endpoint,
        Plan,
        RenderInput,
        RenderResult,
        StepPlan,
    )
    from domain.settlement_messages import DeliveryEnd
    from domain.statuses import DeliveryStatus, NotificationStatus
    from workflows import options
    from workflows.attempt_limits import AttemptPolicy
    from workflows.concurrency import EndpointConcurrency
    from workflows.endpoint import EndpointDelivery
    from workflows.endpoint_results import EndpointResult, combined_result
    from workflows.local_activities import run_local_then_remote
    from workflows.waits import WorkflowWaits


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Hold the results of a step, one per channel. `is_closed`: the row was final or canceled before any call."""

    step: StepPlan
    channel_results: Sequence[EndpointResult] = ()
    is_closed: bool = False

    @property
    def unsent_deliveries(self) -> tuple[DeliveryEnd, ...]:
        """Return the ends of the channels without an accepted call, such as failed, skipped, expired or in doubt."""
        return tuple(
            DeliveryEnd(
                delivery_id=channel.delivery_id,
                status=result.status,
                reason=result.reason.code,
                args=result.reason.args,
            )
            for channel, result in zip(self.step.channels, self.channel_results, strict=not self.is_closed)
            if result.status is not None
        )

    @property
    def is_accepted(self) -> bool:
        """Return whether a provider has accepted the message of at least one channel."""
        return len(self.unsent_deliveries) < len(self.channel_results)

    @property
    def combined_status(self) -> DeliveryStatus | None:
        return combined_result(self.channel_results).status

    @property
    def sent_at(self) -> datetime | None:
        """Return when the last of the channels was sent."""
        return max((call.sent_at for call in self._accepted_calls if call.sent_at), default=None)

    @property
    def finished_status(self) -> NotificationStatus | None:
        """Return the final status if `deliver` finished the notification, which it does for a single channel only."""
        if len(self.channel_results) != 1:
            return None
        return next((call.status for call in self._accepted_calls if call.finished), None)

    @property
    def _accepted_calls(self) -> list[DeliverResult]:
        return [result.accepted_call for result in self.channel_results if result.accepted_call is not None]


class StepRun:
    """Run one step. `is_only_step`: no always step runs in parallel, so that an acceptance may finish the
    notification."""

    def __init__(
        self,
        step: StepPlan,
        plan: Plan,
        endpoint_concurrency: EndpointConcurrency,
        *,
        ids: dict[str, Any],
        waits: WorkflowWaits,
        is_only_step: bool,
    ) -> None:
        self._step = step
        self._plan = plan
        self._endpoint_concurrency = endpoint_concurrency
        self._ids = ids
        self._waits = waits
        self._is_only_step = is_only_step

    @property
    def is_last(self) -> bool:
        return not self._plan.steps or self._step.number in (0, self._plan.steps[-1].number)

    async def run(self, expires_at: datetime | None) -> StepResult:
        rendered = await self._render()
        if rendered.is_closed:
            return StepResult(step=self._step, is_closed=True)
        channels = [self._run_channel(channel, rendered, expires_at) for channel in self._step.channels]
        return StepResult(step=self._step, channel_results=await asyncio.gather(*channels))

    async def _render(self) -> RenderResult:
        """Render the channels, unless the plan rendered them: it renders the steps that start immediately."""
        if self._plan.rendered is not None and self._step in self._plan.immediate_steps:
            return self._plan.rendered
        names = ", ".join(channel.channel for channel in self._step.channels)
        given = RenderInput(**self._ids, step=self._step)
        with self._waits.call_in_progress():
            return await run_local_then_remote(
                PlanningActivities.render_messages, given, f"render step {self._step.number}: {names}"
            )

    async def _run_channel(
        self, channel: ChannelPlan, rendered: RenderResult, expires_at: datetime | None
    ) -> EndpointResult:
        if failure := rendered.failures.get(channel.delivery_id):
            return EndpointResult(status=DeliveryStatus.FAILED, reason=failure)
        policy = AttemptPolicy(
            guarantee=channel.guarantee,
            is_last_step=self.is_last,
            give_up_after=self._plan.give_up_after,
            expires_at=expires_at,
            waits=self._waits,
            call_slots=self._endpoint_concurrency.slots_for(channel),
        )
        deliveries = [EndpointDelivery(self._first_call(channel, each), each, policy) for each in channel.endpoints]
        return combined_result(await asyncio.gather(*(delivery.run() for delivery in deliveries)))

    def _first_call(self, channel: ChannelPlan, endpoint: Endpoint) -> DeliverInput:
        goal = None if self.is_last else self._step.goal
        is_single_endpoint = len(self._step.channels) == 1 and len(channel.endpoints) == 1
        return DeliverInput(
            **self._ids,
            delivery_id=channel.delivery_id,
            channel=channel.channel,
            endpoint_id=endpoint.id,
            provider=endpoint.providers[0].name,
            attempt_number=endpoint.first_attempt_number,
            finishes_notification=self._is_only_step and is_single_endpoint and goal is None,
            goal=goal,
        )

    def search_attributes(self) -> list[Any]:
        channels = [str(channel.channel) for channel in self._step.channels]
        return [options.STEP.value_set(self._step.number), options.CHANNEL.value_set(channels)]
