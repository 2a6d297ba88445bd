"""What is due by the calendar for one type of a tenant, started by its Temporal Schedule."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.ticks import TickActivities
    from domain.clock_messages import TickInput, TickOutcome
    from workflows import options


@workflow.defn
class TickWorkflow:
    @workflow.run
    async def run(self, tick: TickInput) -> TickOutcome:
        """Tried until it is through: the ticks that come meanwhile are skipped."""
        return await workflow.execute_activity_method(
            TickActivities.run_tick,
            tick,
            start_to_close_timeout=options.TICK_TIMEOUT,
            heartbeat_timeout=options.TICK_HEARTBEAT,
            retry_policy=options.UNLIMITED_RETRY,
            summary=tick.notification_type,
        )
