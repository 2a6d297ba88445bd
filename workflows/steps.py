"""One step of a route: its channels are rendered and go out together, each to all its endpoints."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.composition import Composition
    from domain.messages import (
        ChannelPlan,
        DeliverInput,
        DeliveryEnd,
        Endpoint,
        Plan,
        RenderInput,
        RenderResult,
        StepPlan,
    )
    from domain.reasons import Reason
    from domain.statuses import DeliveryStatus
    from workflows import options
    from workflows.endpoint import EndpointDelivery, Terms
    from workflows.endpoint_ends import EndpointEnd, gravest
    from workflows.own_work import own_work
    from workflows.room import Rooms
    from workflows.waits import Waits


@dataclass(frozen=True, kw_only=True)
class StepEnds:
    """What became of a step, channel by channel. `closed`: its row was final or cancelled before anything went out."""

    step: StepPlan
    ends: Sequence[EndpointEnd] = ()
    closed: bool = False

    @property
    def failed(self) -> tuple[DeliveryEnd, ...]:
        return tuple(
            DeliveryEnd(
                delivery_id=channel.delivery_id, status=end.status, reason=end.reason.code, args=end.reason.args
            )
            for channel, end in zip(self.step.channels, self.ends, strict=not self.closed)
            if end.status is not None
        )

    @property
    def arrived(self) -> bool:
        return len(self.failed) < len(self.ends)

    @property
    def worst(self) -> DeliveryStatus | None:
        return gravest(self.ends).status

    @property
    def sent_at(self) -> datetime | None:
        """When the last of its channels went out."""
        return max((end.result.sent_at for end in self.ends if end.result and end.result.sent_at), default=None)


class Step:
    """`alone`: nothing goes on beside it, so that its acceptance may be the notification's end."""

    def __init__(
        self, step: StepPlan, plan: Plan, rooms: Rooms, *, key: dict[str, Any], waits: Waits, alone: bool
    ) -> None:
        self._step = step
        self._plan = plan
        self._rooms = rooms
        self._key = key
        self._waits = waits
        self._alone = alone

    @property
    def is_last(self) -> bool:
        return not self._plan.steps or self._step.number in (0, self._plan.steps[-1].number)

    async def run(self, expires_at: datetime | None) -> StepEnds:
        rendered = await self._rendered()
        if rendered.closed:
            return StepEnds(step=self._step, closed=True)
        channels = [self._run_channel(channel, rendered, expires_at) for channel in self._step.channels]
        return StepEnds(step=self._step, ends=await asyncio.gather(*channels))

    async def _rendered(self) -> RenderResult:
        """A step that starts at once was rendered with the plan."""
        if self._plan.rendered is not None and self._step in self._plan.starts_at_once:
            return self._plan.rendered
        names = ", ".join(channel.channel for channel in self._step.channels)
        given = RenderInput(**self._key, step=self._step)
        with self._waits.call():
            return await own_work(Composition.render_messages, given, f"render step {self._step.number}: {names}")

    async def _run_channel(
        self, channel: ChannelPlan, rendered: RenderResult, expires_at: datetime | None
    ) -> EndpointEnd:
        if failure := rendered.failures.get(channel.delivery_id):
            reason = Reason(failure) if isinstance(failure, str) else failure
            return EndpointEnd(status=DeliveryStatus.FAILED, reason=reason)
        terms = Terms(
            guarantee=channel.guarantee,
            last_step=self.is_last,
            patience=self._plan.patience,
            expires_at=expires_at,
            waits=self._waits,
            room=self._rooms.of(channel),
        )
        deliveries = [EndpointDelivery(self._call(channel, each), each, terms) for each in channel.endpoints]
        return gravest(await asyncio.gather(*(delivery.run() for delivery in deliveries)))

    def _call(self, channel: ChannelPlan, endpoint: Endpoint) -> DeliverInput:
        goal = None if self.is_last else self._step.goal
        single = len(self._step.channels) == 1 and len(channel.endpoints) == 1
        return DeliverInput(
            **self._key,
            delivery_id=channel.delivery_id,
            channel=channel.channel,
            endpoint_id=endpoint.id,
            provider=endpoint.providers[0].name,
            attempt_number=endpoint.resume_at,
            ends=self._alone and single and goal is None,
            goal=goal,
        )

    def where(self) -> list[Any]:
        channels = [str(channel.channel) for channel in self._step.channels]
        return [options.STEP.value_set(self._step.number), options.CHANNEL.value_set(channels)]
