"""Limit the concurrent provider calls of one notification."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import ChannelPlan, Plan, StepPlan
    from domain.stored_limits import MAX_CONCURRENT_CALLS

CallSlots = AbstractAsyncContextManager[object]


class EndpointConcurrency:
    """Provide call slots per channel. The devices of a recipient share the slots that channels with a single
    endpoint leave free, so that an email never waits for the calls to twenty phones."""

    def __init__(self, plan: Plan) -> None:
        self._device_slots: CallSlots = nullcontext()
        always = () if plan.always_step is None else (plan.always_step,)
        step_groups = [(*always, step) for step in plan.steps] or [always]
        if max(map(_endpoint_count, step_groups)) > MAX_CONCURRENT_CALLS:
            free = MAX_CONCURRENT_CALLS - max(map(_single_endpoint_count, step_groups))
            self._device_slots = asyncio.Semaphore(max(free, 1))

    def slots_for(self, channel: ChannelPlan) -> CallSlots:
        return self._device_slots if len(channel.endpoints) > 1 else nullcontext()


def _endpoint_count(steps: tuple[StepPlan, ...]) -> int:
    return sum(len(channel.endpoints) for step in steps for channel in step.channels)


def _single_endpoint_count(steps: tuple[StepPlan, ...]) -> int:
    return sum(len(channel.endpoints) == 1 for step in steps for channel in step.channels)
