"""The minute's backstop, started by a Temporal Schedule."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.sweeping import Sweeping
    from workflows import options


@workflow.defn
class SweepWorkflow:
    @workflow.run
    async def run(self) -> int:
        """One try: the next minute brings another sweep."""
        return await workflow.execute_activity_method(
            Sweeping.sweep, start_to_close_timeout=options.SWEEP_TIMEOUT, retry_policy=options.ONE_TRY
        )
