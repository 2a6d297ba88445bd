"""Makes Temporal's Schedules follow the ticks that are wanted, and sees to runs that nobody is to wait for.

Run by the dispatcher that leads. What is due is told by rows: a Schedule only says when to look.
"""

from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from activities.recurring import Recurring
from dispatch.connection import OUTAGES, reaching_temporal
from domain.clock_messages import TickInput
from domain.names import NOTIFICATIONS_QUEUE, tick_schedule
from storage import ticks
from storage.database import Database
from storage.ticks import Tick
from workflows import options
from workflows.tick import TickWorkflow

log = structlog.get_logger(__name__)

AT_ONCE = 16
LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
ENSURE_AGAIN = 3600.0  # seconds after which a Schedule that somebody has deleted is made again
RPC_TIMEOUT = timedelta(seconds=5)
# Clocks differ: a tick that came a moment before what is due would find it a whole interval later.
AFTER_THE_MINUTE = timedelta(seconds=1)
PAUSED_MINUTES = 15  # the interval of a Schedule that is paused


class Ticks:
    def __init__(self, database: Database, client: Client, recurring: Recurring) -> None:
        self._database = database
        self._client = client
        self._recurring = recurring

    async def ensure(self) -> float:
        async with self._database.statement() as session:
            due = await ticks.to_ensure(session, AT_ONCE, ENSURE_AGAIN)
        told = [tick for tick in due if await self._tell(tick)]
        return LOOK_AGAIN if len(told) < AT_ONCE else 0.0

    async def go_on(self) -> float:
        """What was triggered, and what a tick has not got through: a chunk of people."""
        return 0.0 if await self._recurring.any_run() else LOOK_AGAIN

    async def _tell(self, tick: Tick) -> bool:
        """One that Temporal does not take stays due and stops no other."""
        try:
            with reaching_temporal():
                await (self._keep(tick) if tick.stays else self._remove(tick))
        except RPCError as error:
            if error.status in OUTAGES:
                raise
            log.warning("Temporal did not take a schedule", schedule=wanted_id(tick), status=error.status.name)
            return False
        async with self._database.transaction() as session:
            await ticks.ensured(session, tick)
        return True

    async def _keep(self, tick: Tick) -> None:
        wanted = schedule_of(tick)
        try:
            await self._client.create_schedule(
                wanted_id(tick), wanted, search_attributes=attributes(tick), rpc_timeout=RPC_TIMEOUT
            )
        except ScheduleAlreadyRunningError:
            handle = self._client.get_schedule_handle(wanted_id(tick))
            seen = await handle.describe(rpc_timeout=RPC_TIMEOUT)
            if not _is_as_wanted(seen, wanted, attributes(tick)):
                update = ScheduleUpdate(schedule=wanted, search_attributes=attributes(tick))
                await handle.update(lambda _: update, rpc_timeout=RPC_TIMEOUT)
        else:
            log.info("ticking", schedule=wanted_id(tick), minutes=tick.minutes)

    async def _remove(self, tick: Tick) -> None:
        try:
            await self._client.get_schedule_handle(wanted_id(tick)).delete(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


def wanted_id(tick: Tick) -> str:
    return tick_schedule(tick.tenant, tick.notification_type)


def _is_as_wanted(seen: ScheduleDescription, wanted: Schedule, attributes: TypedSearchAttributes) -> bool:
    """Compare with what the product's schedules require, which overrides a pause or resume made in Temporal."""
    there, state = seen.schedule, wanted.state
    same_state = (there.state.note, there.state.paused) == (state.note, state.paused)
    same_times = there.spec.intervals == wanted.spec.intervals
    return same_state and same_times and _values(seen.typed_search_attributes) == _values(attributes)


def _values(attributes: TypedSearchAttributes) -> dict[str, Any]:
    return {pair.key.name: pair.value for pair in attributes}


def summary(tick: Tick) -> str:
    often = f"every {tick.minutes} min" if tick.minutes else "nothing for now"
    return f"{tick.notification_type}: what is due by the calendar, {often}"


def note(tick: Tick) -> str:
    """With the recurring sends, and which of them are paused."""
    names = [f"{key} (paused)" if paused else key for key, paused in sorted(tick.schedules.items())]
    return summary(tick) + (f". Schedules: {', '.join(names)}" if names else "")


def attributes(tick: Tick) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(options.TENANT, tick.tenant_key),
            SearchAttributePair(options.TYPE, tick.notification_type),
            *([SearchAttributePair(options.SCHEDULE, sorted(tick.schedules))] if tick.schedules else []),
        ]
    )


def schedule_of(tick: Tick) -> Schedule:
    every = timedelta(minutes=tick.minutes or PAUSED_MINUTES)
    return Schedule(
        action=ScheduleActionStartWorkflow(
            TickWorkflow.run,
            TickInput(tenant=tick.tenant, notification_type=tick.notification_type),
            id=wanted_id(tick),
            task_queue=NOTIFICATIONS_QUEUE,
            typed_search_attributes=attributes(tick),
            static_summary=summary(tick),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every, offset=AFTER_THE_MINUTE)]),
        # After an outage one tick sees to all that it missed.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=every),
        state=ScheduleState(note=note(tick), paused=not tick.minutes),
    )
