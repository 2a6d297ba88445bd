"""Skip time in Temporal, where each workflow has its own clock: list the open workflows and their waits, and move their
clocks.

A workflow that is started with a signal would begin at once, before its clock is set. Tocsin starts none that way.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from temporalio.api.common.v1 import FastForwardConfig, TimeSkippingConfig
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    ScheduleOverlapPolicy,
    SignalWorkflowInput,
    StartWorkflowInput,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from domain.clock import now
from domain.names import tick_schedule

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

    run_id: str
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
            run_id=events[0].workflow_execution_started_event_attributes.original_execution_run_id if events else "",
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
        self._progress: dict[str, WorkflowProgress] = {}
        self._changed_ids: set[str] = set()
        self._lagging_ids: set[str] = set()
        self._clock_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._signals_allowed = asyncio.Event()
        self._signals_allowed.set()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next, self)

    def follow(self, id: str) -> None:
        """Add a workflow to the open ones."""
        self.open_ids.add(id)
        self._changed_ids.add(id)

    def forget_all(self) -> None:
        """Follow no workflow any more."""
        self.open_ids.clear()
        self._progress.clear()
        self._changed_ids.clear()
        self._lagging_ids.clear()
        self._clock_locks.clear()

    async def read_progress(self) -> dict[str, WorkflowProgress]:
        """Return the progress of the open workflows, without those that Temporal does not know yet."""
        return await self._read(self.open_ids)

    async def update_progress(self) -> dict[str, WorkflowProgress]:
        """Return the same, but read only workflows that may have changed.

        These are started, signaled or moved since they were last read, or were busy then. An idle workflow makes no
        progress of its own before its next timer.
        """
        at = now()
        return await self._read(self._changed_ids | {id for id, known in self._progress.items() if known.is_busy(at)})

    async def _read(self, wanted_ids: set[str]) -> dict[str, WorkflowProgress]:
        ids = sorted(wanted_ids & self.open_ids)
        self._changed_ids.difference_update(ids)
        for id, progress in zip(ids, await asyncio.gather(*map(self._read_progress, ids)), strict=True):
            if progress is None:
                self._changed_ids.add(id)
            elif progress.is_closed:
                self.open_ids.discard(id)
                self._progress.pop(id, None)
            else:
                self._progress[id] = progress
        return dict(self._progress)

    async def tick(self, tenant: UUID, notification_type: str) -> None:
        """Do what the type's Temporal Schedule does, whose own clock cannot skip time."""
        handle = self.client.get_schedule_handle(tick_schedule(tenant, notification_type))
        await handle.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL)

    @contextmanager
    def hold_signals(self) -> Iterator[None]:
        """Hold signals: a workflow that gets one before its clock has moved would count from an earlier time."""
        self._signals_allowed.clear()
        try:
            yield
        finally:
            self._signals_allowed.set()

    async def advance_clocks(self) -> None:
        """Move the clocks of all open workflows to `now()`. Their timers up to then fire."""
        await self._advance_clocks(self.open_ids)
        self._lagging_ids.clear()

    async def advance_due_clocks(self, until: datetime) -> None:
        """Move only the clocks of workflows with a timer up to `until`. A later signal moves the others first."""
        idle_ids = {id for id, known in self._progress.items() if all(timer > until for timer in known.timers)}
        await self._advance_clocks(self.open_ids - idle_ids)
        self._lagging_ids = idle_ids & self.open_ids

    async def signal(self, id: str, send: Callable[[], Awaitable[None]]) -> None:
        """Send a signal to a workflow, whose clock is moved before."""
        await self._signals_allowed.wait()
        if id in self._lagging_ids:
            await self._advance_clocks({id})
            self._lagging_ids.discard(id)
        try:
            await send()
        finally:
            self._changed_ids.add(id)

    async def _advance_clocks(self, ids: set[str]) -> None:
        await asyncio.gather(*map(self._advance_clock, sorted(ids)))
        self._changed_ids |= ids

    async def _read_progress(self, id: str) -> WorkflowProgress | None:
        """Return None for a workflow that Temporal does not know yet. Fetch a history only if it has grown."""
        handle, known = self._handle(id), self._progress.get(id)
        try:
            description = await handle.describe()
            if known and (known.run_id, known.events) == (description.run_id, description.history_length):
                return known
            return WorkflowProgress.of(list((await handle.fetch_history()).events))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _advance_clock(self, id: str) -> None:
        """Move one clock. A second move of it waits: Temporal would let it replace the first."""
        try:
            async with self._clock_locks[id]:
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
        self._workflows.follow(input.id)
        if ahead := self._workflows.ahead:
            skip_config = FastForwardConfig(id=input.id)
            skip_config.duration.FromTimedelta(ahead)
            input.start_delay = ahead
            input.time_skipping_config = TimeSkippingConfig(enabled=True, fast_forward_config=skip_config)
        return await super().start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await self._workflows.signal(input.id, partial(super().signal_workflow, input))
