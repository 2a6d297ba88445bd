"""How many calls to the endpoints of one notification are under way at a time."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import ChannelPlan, Plan, StepPlan
    from domain.stored_limits import ENDPOINTS_AT_ONCE

Room = AbstractAsyncContextManager[object]


class Rooms:
    """The devices of a person share what the channels with a single endpoint leave free: an e-mail never waits for the
    calls to twenty phones."""

    def __init__(self, plan: Plan) -> None:
        self._of_devices: Room = nullcontext()
        beside = () if plan.beside is None else (plan.beside,)
        together = [(*beside, step) for step in plan.steps] or [beside]
        if max(map(_endpoints, together)) > ENDPOINTS_AT_ONCE:
            free = ENDPOINTS_AT_ONCE - max(map(_single_endpoints, together))
            self._of_devices = asyncio.Semaphore(max(free, 1))

    def of(self, channel: ChannelPlan) -> Room:
        return self._of_devices if len(channel.endpoints) > 1 else nullcontext()


def _endpoints(steps: tuple[StepPlan, ...]) -> int:
    return sum(len(channel.endpoints) for step in steps for channel in step.channels)


def _single_endpoints(steps: tuple[StepPlan, ...]) -> int:
    return sum(len(channel.endpoints) == 1 for step in steps for channel in step.channels)
