"""Test that a held device resumes after calls to other devices of its delivery, which share the mark of the hold."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity

from domain import retries
from domain.channels import Channel
from domain.messages import DeliverInput, DeliverResult, NoCallResult
from domain.statuses import DeliveryStatus
from tests.engine import Engine
from tests.workflows.test_activity_failures import BUSY, SENT, Scripted, channel, plan_of

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
HELD = DeliverResult(result=NoCallResult.HELD, reason="provider_throttled")
STOPPED = DeliverResult(result=NoCallResult.STOPPED, stopped_status=DeliveryStatus.CANCELED, reason="canceled")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MAX_DELAY", timedelta(milliseconds=1))


class HeldTablet(Scripted):
    """Hold the first `holds` calls to the tablet. The result of the first one arrives after the workflow has handled
    the result of the phone's first call, which has removed the mark. No later result wakes the tablet."""

    concurrent_activities = 2
    holds = 1

    def __init__(self) -> None:
        push = channel(Channel.PUSH, "fcm")
        [endpoint] = push.endpoints
        super().__init__(
            plan_of(replace(push, endpoints=tuple(replace(endpoint, id=name) for name in ("tablet", "phone"))))
        )
        self._phone_is_retried = asyncio.Event()

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        self.calls.append(call)
        number = len(self.numbers(call.endpoint_id))
        if call.endpoint_id == "phone":
            if number == 1:
                return BUSY
            self._phone_is_retried.set()
            return STOPPED
        if number > self.holds:
            return SENT
        await self._phone_is_retried.wait()
        return HELD

    def numbers(self, device: str) -> list[int]:
        return [call.attempt_number for call in self.calls if call.endpoint_id == device]


async def test_a_device_that_is_held_after_a_call_ended_asks_again(engine: Engine) -> None:
    scripted = HeldTablet()
    await scripted.run(engine, expires_at=datetime.now(UTC) + timedelta(seconds=20))
    assert scripted.numbers("tablet") == [1, 1]


async def test_a_device_asks_once_after_a_call_to_another_one(engine: Engine) -> None:
    scripted = HeldTablet()
    scripted.holds = 2
    await scripted.run(engine, expires_at=datetime.now(UTC) + timedelta(seconds=5))
    assert scripted.numbers("tablet") == [1, 1]
