"""Keep Temporal's Schedules in sync with the required ticks, and continue runs that must not wait for a tick.

Run by the leader. The rows decide what is due: a Schedule only triggers the check.
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

from dispatch.temporal.connection import OUTAGE_STATUSES, convert_connection_errors
from domain.digest_and_tick_messages import TickInput
from domain.names import NOTIFICATIONS_QUEUE, tick_schedule
from services.recurring_sends import RecurringSends
from storage import ticks
from storage.database import Database
from storage.ticks import DesiredTick
from workflows import options
from workflows.tick import TickWorkflow

log = structlog.get_logger(__name__)

BATCH_SIZE = 16
POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
ENSURE_INTERVAL = 3600.0  # seconds after which a deleted Schedule is created again
RPC_TIMEOUT = timedelta(seconds=5)
# Clocks differ: a tick just before the due time would find the work only one interval later.
TICK_OFFSET = timedelta(seconds=1)
PAUSED_INTERVAL_MINUTES = 15  # the interval of a paused Schedule


class TickTasks:
    def __init__(self, database: Database, client: Client, recurring: RecurringSends) -> None:
        self._database = database
        self._client = client
        self._recurring = recurring

    async def ensure_schedules(self) -> float:
        async with self._database.statement() as session:
            due = await ticks.claim_unsynced(session, BATCH_SIZE, ENSURE_INTERVAL)
        applied = [tick for tick in due if await self._apply(tick)]
        return POLL_INTERVAL if len(applied) < BATCH_SIZE else 0.0

    async def continue_runs(self) -> float:
        """Send to a batch of recipients of a triggered run, or of one that a tick has not finished."""
        return 0.0 if await self._recurring.continue_next_run() else POLL_INTERVAL

    async def _apply(self, tick: DesiredTick) -> bool:
        """Apply one tick. A tick that Temporal refuses stays due and blocks no other."""
        try:
            with convert_connection_errors():
                await (self._create_or_update(tick) if tick.is_needed else self._delete(tick))
        except RPCError as error:
            if error.status in OUTAGE_STATUSES:
                raise
            log.warning("Temporal refused a schedule", schedule=schedule_id_of(tick), status=error.status.name)
            return False
        async with self._database.transaction() as session:
            await ticks.mark_synced(session, tick)
        return True

    async def _create_or_update(self, tick: DesiredTick) -> None:
        wanted = schedule_of(tick)
        try:
            await self._client.create_schedule(
                schedule_id_of(tick), wanted, search_attributes=attributes(tick), rpc_timeout=RPC_TIMEOUT
            )
        except ScheduleAlreadyRunningError:
            handle = self._client.get_schedule_handle(schedule_id_of(tick))
            description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
            if not _is_up_to_date(description, wanted, attributes(tick)):
                update = ScheduleUpdate(schedule=wanted, search_attributes=attributes(tick))
                await handle.update(lambda _: update, rpc_timeout=RPC_TIMEOUT)
        else:
            log.info("a tick was scheduled", schedule=schedule_id_of(tick), minutes=tick.interval_minutes)

    async def _delete(self, tick: DesiredTick) -> None:
        try:
            await self._client.get_schedule_handle(schedule_id_of(tick)).delete(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


def schedule_id_of(tick: DesiredTick) -> str:
    return tick_schedule(tick.tenant, tick.notification_type)


def _is_up_to_date(description: ScheduleDescription, wanted: Schedule, attributes: TypedSearchAttributes) -> bool:
    """Compare with what the product's schedules require, which overrides a pause or resume made in Temporal."""
    current, state = description.schedule, wanted.state
    same_state = (current.state.note, current.state.paused) == (state.note, state.paused)
    same_times = current.spec.intervals == wanted.spec.intervals
    return same_state and same_times and _values(description.typed_search_attributes) == _values(attributes)


def _values(attributes: TypedSearchAttributes) -> dict[str, Any]:
    return {pair.key.name: pair.value for pair in attributes}


def summary_of(tick: DesiredTick) -> str:
    interval_text = f"every {tick.interval_minutes} min" if tick.interval_minutes else "nothing for now"
    return f"{tick.notification_type}: what is due by the calendar, {interval_text}"


def note_of(tick: DesiredTick) -> str:
    """Return the note with the recurring sends, and which of them are paused."""
    names = [f"{key} (paused)" if paused else key for key, paused in sorted(tick.schedules.items())]
    return summary_of(tick) + (f". Schedules: {', '.join(names)}" if names else "")


def attributes(tick: DesiredTick) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(options.TENANT, tick.tenant_key),
            SearchAttributePair(options.TYPE, tick.notification_type),
            *([SearchAttributePair(options.SCHEDULE, sorted(tick.schedules))] if tick.schedules else []),
        ]
    )


def schedule_of(tick: DesiredTick) -> Schedule:
    every = timedelta(minutes=tick.interval_minutes or PAUSED_INTERVAL_MINUTES)
    return Schedule(
        action=ScheduleActionStartWorkflow(
            TickWorkflow.run,
            TickInput(tenant=tick.tenant, notification_type=tick.notification_type),
            id=schedule_id_of(tick),
            task_queue=NOTIFICATIONS_QUEUE,
            typed_search_attributes=attributes(tick),
            static_summary=summary_of(tick),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every, offset=TICK_OFFSET)]),
        # After an outage one tick does all missed work.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=every),
        state=ScheduleState(note=note_of(tick), paused=not tick.interval_minutes),
    )
