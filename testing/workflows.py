"""Skip time in Temporal, where each workflow has its own clock: list the open workflows and their waits, and move their
clocks.

A workflow that is started with a signal would begin at once, before its clock is set. Tocsin starts none that way.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio.api.common.v1 import FastForwardConfig, TimeSkippingConfig
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from domain.clock import now
from domain.digest_and_tick_messages import TickInput
from domain.names import NOTIFICATIONS_QUEUE, tick_schedule
from workflows.tick import TickWorkflow

# For the dev server. Timers fire up to one second late by default, which would add a second to every skip.
DYNAMIC_CONFIG = {"frontend.WorkflowTimeSkippingEnabled": "true", "history.timerProcessorMaxTimeShift": '"20ms"'}

CLOSE_EVENTS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
}
WORKFLOW_TASK_EVENTS = {
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
}
ACTIVITY_CLOSE_EVENTS = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
}


@dataclass(frozen=True, kw_only=True)
class WorkflowProgress:
    """Describe the state of a workflow by its history: `events` is its length, `timers` are the times at which timers
    will fire.
    """

    events: int
    is_closed: bool
    is_working: bool
    timers: tuple[datetime, ...]

    @classmethod
    def of(cls, events: list[HistoryEvent]) -> "WorkflowProgress":
        event_types = [event.event_type for event in events]
        tasks = [kind for kind in event_types if kind in WORKFLOW_TASK_EVENTS]
        # A failed task is retried, and a task that does not exist yet will be created.
        is_idle = bool(tasks) and tasks[-1] == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        calls = event_types.count(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) - sum(
            kind in ACTIVITY_CLOSE_EVENTS for kind in event_types
        )
        is_closed = bool(event_types) and event_types[-1] in CLOSE_EVENTS
        return cls(
            events=len(events),
            is_closed=is_closed,
            is_working=not is_closed and (not is_idle or calls > 0),
            timers=_timers(events),
        )

    def is_busy(self, at: datetime) -> bool:
        return not self.is_closed and (self.is_working or any(timer <= at for timer in self.timers))


def _timers(events: list[HistoryEvent]) -> tuple[datetime, ...]:
    running: dict[int, datetime] = {}
    for event in events:
        if event.HasField("timer_started_event_attributes"):
            length = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
            running[event.event_id] = event.event_time.ToDatetime(UTC) + length
        elif event.HasField("timer_fired_event_attributes"):
            running.pop(event.timer_fired_event_attributes.started_event_id)
        elif event.HasField("timer_canceled_event_attributes"):
            running.pop(event.timer_canceled_event_attributes.started_event_id)
    return tuple(running.values())


class TrackedWorkflows(Interceptor):
    """Track the workflows started through `client`. New ones begin with their clock ahead by `ahead`."""

    def __init__(self, client: Client) -> None:
        config = client.config()
        config["interceptors"] = [*config["interceptors"], self]
        self.client = Client(**config)
        self.ahead = timedelta()
        self.open_ids: set[str] = set()
        self.skipper = TimeSkipper(client)
        self._signals_allowed = asyncio.Event()
        self._signals_allowed.set()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next, self)

    async def read_progress(self) -> dict[str, WorkflowProgress]:
        """Return the progress of the open ones, without those that Temporal does not know yet."""
        seen = dict(
            zip(ids := sorted(self.open_ids), await asyncio.gather(*map(self._read_progress, ids)), strict=True)
        )
        self.open_ids -= {id for id, progress in seen.items() if progress and progress.is_closed}
        return {id: progress for id, progress in seen.items() if progress and not progress.is_closed}

    async def tick(self, tenant: UUID, notification_type: str) -> None:
        """Start the workflow that the type's Temporal Schedule starts, because its clock cannot skip time. A trigger of
        the Schedule would not do: the workflow's id has the time in seconds, so two ticks could have the same."""
        await self.client.start_workflow(
            TickWorkflow.run,
            TickInput(tenant=tenant, notification_type=notification_type),
            id=f"{tick_schedule(tenant, notification_type)}-{uuid4()}",
            task_queue=NOTIFICATIONS_QUEUE,
        )

    @contextmanager
    def hold_signals(self) -> Iterator[None]:
        """Hold signals: a workflow that gets one before its clock has moved would count from an earlier time."""
        self._signals_allowed.clear()
        try:
            yield
        finally:
            self._signals_allowed.set()

    async def wait_for_signals(self) -> None:
        """Wait until signals are not held."""
        await self._signals_allowed.wait()

    async def advance_clocks(self) -> None:
        """Move the clocks of all open workflows to `now()`. Their timers up to then fire."""
        await asyncio.gather(*map(self._advance_clock, sorted(self.open_ids)))

    async def _read_progress(self, id: str) -> WorkflowProgress | None:
        try:
            return WorkflowProgress.of(list((await self._handle(id).fetch_history()).events))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _advance_clock(self, id: str) -> None:
        try:
            lag = now() - await self.skipper.get_current_time(self._handle(id))
            if lag > timedelta():
                await self.skipper.fast_forward(self._handle(id), lag)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended in between
                raise

    def _handle(self, id: str) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(id)


class _Outbound(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, workflows: TrackedWorkflows) -> None:
        super().__init__(next)
        self._workflows = workflows

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        """Start a workflow and skip its delay at once, so that its first task sees the same time as the others."""
        self._workflows.open_ids.add(input.id)
        if ahead := self._workflows.ahead:
            skip_config = FastForwardConfig(id=input.id)
            skip_config.duration.FromTimedelta(ahead)
            input.start_delay = ahead
            input.time_skipping_config = TimeSkippingConfig(enabled=True, fast_forward_config=skip_config)
        return await super().start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await self._workflows.wait_for_signals()
        await super().signal_workflow(input)
