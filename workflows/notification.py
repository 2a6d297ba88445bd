"""Run one notification from its gates to its final status. `dispatch/` starts one workflow for every row of
`notification`."""

import asyncio
from dataclasses import replace
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.planning import PlanningActivities
    from activities.settlement import SettlementActivities
    from domain.evidence import Evidence
    from domain.messages import NotificationOutcome, NotificationStart, Plan, ResolveInput, RunState, StepPlan
    from domain.reasons import reason_line
    from domain.settlement_messages import DeliveryEnd, SettleInput
    from domain.statuses import SENT_STATUSES, DeliveryStatus, NotificationStatus
    from workflows import options
    from workflows.concurrency import EndpointConcurrency
    from workflows.goal_wait import GoalWait
    from workflows.local_activities import run_local_then_remote
    from workflows.steps import StepResult, StepRun
    from workflows.waits import ContinueAsNew, WorkflowWaits

STATUS_BY_DELIVERY_STATUS: dict[DeliveryStatus | None, NotificationStatus] = {
    DeliveryStatus.IN_DOUBT: NotificationStatus.IN_DOUBT,
    DeliveryStatus.CANCELED: NotificationStatus.CANCELED,
    DeliveryStatus.EXPIRED: NotificationStatus.EXPIRED,
}


@workflow.defn
class NotificationWorkflow:
    @workflow.init
    def __init__(self, start: NotificationStart) -> None:
        self._start = start
        self._waits = WorkflowWaits(start.expires_at, start.run_state or RunState())
        self._always_step_task: asyncio.Task[StepResult] | None = None
        self._endpoint_concurrency = EndpointConcurrency(Plan())

    @workflow.signal
    def cancel(self) -> None:
        """Wake a wait. The row decides what is canceled; the guard and `settle` obey it."""
        self._waits.cancel_requested = True

    @workflow.signal
    def resume(self) -> None:
        """Wake a wait after a claim by the queue. The rows decide whether the wait is over."""
        self._waits.resume_count += 1

    @workflow.signal
    def evidence_arrived(self) -> None:
        """Wake a wait after new evidence was written to the rows."""
        self._waits.evidence_count += 1

    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        try:
            outcome = await self._send_or_continue()
        except (Exception, asyncio.CancelledError) as error:
            # An operator canceled it in Temporal, or our code has a bug. The row gets a final status in both cases.
            cancelled = is_cancelled_exception(error)
            status = NotificationStatus.CANCELED if cancelled else NotificationStatus.FAILED
            outcome = await self._settle(status, reason="canceled_in_temporal" if cancelled else "internal")
            if outcome.status not in SENT_STATUSES:
                self._waits.show_status(outcome.status)
            if cancelled:
                raise
            raise ApplicationError("FAILED: internal", type="Internal", non_retryable=True) from error
        return self._report_outcome(outcome)

    async def _send_or_continue(self) -> NotificationOutcome:
        try:
            return await self._send()
        except ContinueAsNew:
            await self._continue_as_new()

    async def _continue_as_new(self) -> NoReturn:
        """Continue as a new run after the calls in progress have ended. The other endpoints are about to wait."""
        await workflow.wait_condition(lambda: self._waits.calls_in_progress == 0)
        if self._always_step_task is not None and self._always_step_task.done():
            self._always_step_task.exception()  # Unused, but asyncio logs an exception that is never retrieved.
        workflow.continue_as_new(replace(self._start, waits_for_send_at=False, run_state=self._waits.run_state))

    async def _send(self) -> NotificationOutcome:
        if stopped := await self._wait_for_send_at():
            return stopped
        plan = await self._plan_after_gates()
        if plan.final_outcome is not None:
            return plan.final_outcome
        self._endpoint_concurrency = EndpointConcurrency(plan)
        if plan.always_step is not None:
            self._always_step_task = asyncio.create_task(
                self._step_run(plan.always_step, plan).run(self._start.expires_at)
            )
        for step in plan.steps:
            if outcome := await self._run_step(step, plan):
                return outcome
        return await self._finish(NotificationStatus.FAILED)

    async def _wait_for_send_at(self) -> NotificationOutcome | None:
        if self._start.waits_for_send_at:
            self._waits.show_status(options.SCHEDULED)
            await self._waits.wait_for_resume(0, "until send_at", self._start.send_at)
        return await self._finish_if_stopped()

    async def _finish_if_stopped(self) -> NotificationOutcome | None:
        if self._waits.cancel_requested:
            return await self._settle(NotificationStatus.CANCELED, reason="canceled")
        if self._start.expires_at is not None and self._start.expires_at <= workflow.now():
            return await self._settle(NotificationStatus.EXPIRED, reason="expired")
        return None

    async def _plan_after_gates(self) -> Plan:
        """Resolve preferences until no gate is closed. Resolve again after each wait for a time gate or a limit."""
        while True:
            seen_resumes = self._waits.resume_count
            plan = await self._resolve()
            if plan.gate is None:
                return plan
            self._waits.show_status(options.HELD)
            await self._waits.wait_for_resume(seen_resumes, reason_line(plan.gate.full_reason), plan.gate.until)
            if stopped := await self._finish_if_stopped():
                return Plan(final_outcome=stopped)

    async def _resolve(self) -> Plan:
        request = ResolveInput(**self._ids())
        return await run_local_then_remote(
            PlanningActivities.resolve_preferences, request, "resolve preferences, render the first step"
        )

    async def _run_step(self, step: StepPlan, plan: Plan) -> NotificationOutcome | None:
        """Run a step. Return None if the next step may run, because this one failed or missed its goal."""
        workflow.set_current_details(f"Step {step.number}: {', '.join(each.channel for each in step.channels)}")
        step_run = self._step_run(step, plan)
        self._waits.search_attributes = step_run.search_attributes()
        return await self._outcome_of(step_run, await step_run.run(self._start.expires_at))

    async def _outcome_of(self, step_run: StepRun, step_result: StepResult) -> NotificationOutcome | None:
        if step_result.is_closed:
            return await self._finish(NotificationStatus.CANCELED, reason="canceled")
        if step_result.finished_status is not None:
            return NotificationOutcome(status=step_result.finished_status)
        step, delivery_status = step_result.step, step_result.combined_status
        if step.goal is not None and not step_run.is_last and delivery_status is not DeliveryStatus.CANCELED:
            return await self._wait_for_goal(step.goal, step_result)
        if delivery_status in STATUS_BY_DELIVERY_STATUS or step_run.is_last or step_result.is_accepted:
            status = STATUS_BY_DELIVERY_STATUS.get(delivery_status, NotificationStatus.FAILED)
            return await self._finish(status, step_result.unsent_deliveries)
        return await self._settle_before_next_step(step_result)

    async def _settle_before_next_step(self, step_result: StepResult) -> NotificationOutcome | None:
        """Record the unsent deliveries. Return the outcome if a receipt has shown that the step arrived."""
        outcome = await self._settle(
            None,
            step_result.unsent_deliveries,
            step=step_result.step.number,
            has_always_step=self._always_step_task is not None,
        )
        if outcome.status is NotificationStatus.PENDING:
            return None
        return outcome if self._always_step_task is None else await self._finish(outcome.status)

    async def _wait_for_goal(self, goal: Evidence, step_result: StepResult) -> NotificationOutcome | None:
        """Wait for the goal of the step. Return None if the deadline passed or the step failed."""
        if step_result.unsent_deliveries:
            await self._settle(None, step_result.unsent_deliveries, step=step_result.step.number, waits_for=goal)
        goal_wait = GoalWait(self._waits, self._ids(), self._start.expires_at)
        if await goal_wait.run(goal, step_result):
            return await self._finish(NotificationStatus.FAILED)  # The rows decide the status.
        if self._waits.cancel_requested:
            return await self._finish(NotificationStatus.CANCELED, reason="canceled")
        return None

    async def _finish(
        self, status_if_unsent: NotificationStatus, ends: tuple[DeliveryEnd, ...] = (), reason: str | None = None
    ) -> NotificationOutcome:
        """Settle after the deliveries of the always step have ended too. If anything was sent, the rows decide the
        status."""
        if self._always_step_task is not None:
            ends += (await self._always_step_task).unsent_deliveries
        return await self._settle(status_if_unsent, ends, reason)

    async def _settle(
        self,
        status_if_unsent: NotificationStatus | None,
        ends: tuple[DeliveryEnd, ...] = (),
        reason: str | None = None,
        **step: Any,
    ) -> NotificationOutcome:
        request = SettleInput(**self._ids(), ends=ends, verdict=status_if_unsent, reason=reason, **step)
        return await run_local_then_remote(
            SettlementActivities.settle,
            request,
            f"settle: {status_if_unsent}" if status_if_unsent else "settle the step",
        )

    def _step_run(self, step: StepPlan, plan: Plan) -> StepRun:
        return StepRun(
            step,
            plan,
            self._endpoint_concurrency,
            ids=self._ids(),
            waits=self._waits,
            is_only_step=plan.always_step is None,
        )

    def _report_outcome(self, outcome: NotificationOutcome) -> NotificationOutcome:
        """Show an unsuccessful status in the search attributes. Fail the workflow if the notification is FAILED or
        IN_DOUBT."""
        if outcome.status not in SENT_STATUSES:
            self._waits.show_status(outcome.status)
        if outcome.status is NotificationStatus.FAILED:
            raise ApplicationError(f"FAILED: {outcome.reason}", type="NotificationFailed", non_retryable=True)
        if outcome.status is NotificationStatus.IN_DOUBT:
            raise ApplicationError(f"IN_DOUBT: {outcome.reason}", type="NotificationInDoubt", non_retryable=True)
        return outcome

    def _ids(self) -> dict[str, Any]:
        start = self._start
        return {"notification_id": start.notification_id, "tenant": start.tenant, "generation": start.generation}
