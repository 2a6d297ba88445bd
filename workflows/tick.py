"""Run the scheduled work of one type of a tenant. Its Temporal Schedule starts the workflow."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.digests_and_ticks import TickActivities
    from domain.digest_and_tick_messages import TickInput, TickOutcome
    from workflows import options


@workflow.defn
class TickWorkflow:
    @workflow.run
    async def run(self, tick: TickInput) -> TickOutcome:
        """Retry until all work is done. Temporal skips the ticks that are due in the meantime."""
        return await workflow.execute_activity_method(
            TickActivities.run_tick,
            tick,
            start_to_close_timeout=options.TICK_TIMEOUT,
            heartbeat_timeout=options.TICK_HEARTBEAT,
            retry_policy=options.UNLIMITED_RETRY,
            summary=tick.notification_type,
        )
