"""One notification, from its gates to its end. Started by `dispatch/`, for every row of `notification`."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.resolution import Resolution
    from activities.settlement import Settlement
    from domain.carried import Carried
    from domain.evidence import Evidence
    from domain.goal_messages import CheckInput, Standing
    from domain.goals import goal_deadline
    from domain.messages import (
        DeliveryEnd,
        NotificationOutcome,
        NotificationStart,
        Plan,
        ResolveInput,
        SettleInput,
        StepPlan,
    )
    from domain.reasons import line
    from domain.statuses import ON_ITS_WAY, DeliveryStatus, NotificationStatus
    from workflows import options
    from workflows.own_work import own_work
    from workflows.renewal import Renewal
    from workflows.room import Rooms
    from workflows.steps import Step, StepEnds
    from workflows.waits import Waits

VERDICTS: dict[DeliveryStatus | None, NotificationStatus] = {
    DeliveryStatus.IN_DOUBT: NotificationStatus.IN_DOUBT,
    DeliveryStatus.CANCELED: NotificationStatus.CANCELED,
    DeliveryStatus.EXPIRED: NotificationStatus.EXPIRED,
}

# Patch: workflows fail that end IN_DOUBT, and those that end by an error or a cancel in Temporal show their status.
SHOWN_ENDS = "shown-ends"


@workflow.defn
class NotificationWorkflow:
    @workflow.init
    def __init__(self, start: NotificationStart) -> None:
        self._start = start
        self._waits = Waits(start.expires_at, start.carried or Carried())
        self._beside: asyncio.Task[StepEnds] | None = None
        self._rooms = Rooms(Plan())

    @workflow.signal
    def cancel(self) -> None:
        """Wakes a wait. What is cancelled is decided by the row, which the guard and `settle` obey."""
        self._waits.cancel_requested = True

    @workflow.signal
    def resume(self) -> None:
        """It is its turn: what it waits for may be over. Whether it is, the rows say."""
        self._waits.resumes += 1

    @workflow.signal
    def evidence(self) -> None:
        """The rows know more of what this workflow waits for."""
        self._waits.evidence += 1

    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        try:
            outcome = await self._send_or_renew()
        except (Exception, asyncio.CancelledError) as error:
            # Cancelled by an operator in Temporal, or a mistake of ours: either way the row gets its end.
            cancelled = is_cancelled_exception(error)
            verdict = NotificationStatus.CANCELED if cancelled else NotificationStatus.FAILED
            outcome = await self._settle(verdict, reason="canceled_in_temporal" if cancelled else "internal")
            if outcome.status not in ON_ITS_WAY and workflow.patched(SHOWN_ENDS):
                self._waits.show(outcome.status)
            if cancelled:
                raise
            raise ApplicationError("FAILED: internal", type="Internal", non_retryable=True) from error
        return self._told(outcome)

    async def _send_or_renew(self) -> NotificationOutcome:
        try:
            return await self._send()
        except Renewal:
            await self._renew()

    async def _renew(self) -> NoReturn:
        """What is under way ends in the rows; the other endpoints are on their way to a wait."""
        await workflow.wait_condition(lambda: self._waits.calls == 0)
        if self._beside is not None and self._beside.done():
            self._beside.exception()  # of no interest, and logged unless it is looked at
        workflow.continue_as_new(replace(self._start, waits=False, carried=self._waits.carried))

    async def _send(self) -> NotificationOutcome:
        if over := await self._wait_for_its_time():
            return over
        plan = await self._plan()
        if plan.settled is not None:
            return plan.settled
        self._rooms = Rooms(plan)
        if plan.beside is not None:
            self._beside = asyncio.create_task(self._step(plan.beside, plan).run(self._start.expires_at))
        for step in plan.steps:
            if outcome := await self._run_step(step, plan):
                return outcome
        return await self._finish(NotificationStatus.FAILED)

    async def _wait_for_its_time(self) -> NotificationOutcome | None:
        if self._start.waits:
            self._waits.show(options.SCHEDULED)
            await self._waits.for_turn(0, "until send_at", self._start.send_at)
        return await self._over()

    async def _over(self) -> NotificationOutcome | None:
        if self._waits.cancel_requested:
            return await self._settle(NotificationStatus.CANCELED, reason="canceled")
        if self._start.expires_at is not None and self._start.expires_at <= workflow.now():
            return await self._settle(NotificationStatus.EXPIRED, reason="expired")
        return None

    async def _plan(self) -> Plan:
        """Resolved anew after each wait for the hour, or for room in a limit."""
        while True:
            seen = self._waits.resumes
            plan = await self._resolve()
            if plan.gate is None:
                return plan
            self._waits.show(options.HELD)
            await self._waits.for_turn(seen, line(plan.gate.why), plan.gate.until)
            if over := await self._over():
                return Plan(settled=over)

    async def _resolve(self) -> Plan:
        given = ResolveInput(**self._key())
        return await own_work(Resolution.resolve_preferences, given, "resolve preferences, render the first step")

    async def _run_step(self, step: StepPlan, plan: Plan) -> NotificationOutcome | None:
        """None: the step did not get through, or not as far as it should, and the next one may try."""
        workflow.set_current_details(f"Step {step.number}: {', '.join(each.channel for each in step.channels)}")
        running = self._step(step, plan)
        self._waits.where = running.where()
        done = await running.run(self._start.expires_at)
        if done.closed:
            return await self._finish(NotificationStatus.CANCELED, reason="canceled")
        if len(done.ends) == 1 and done.ends[0].result is not None and done.ends[0].result.finished:
            return NotificationOutcome(status=done.ends[0].result.status)  # `deliver` wrote the end as well
        if step.goal is not None and not running.is_last and done.worst is not DeliveryStatus.CANCELED:
            return await self._seek(step.goal, done)
        if done.worst in VERDICTS or running.is_last or done.arrived:
            return await self._finish(VERDICTS.get(done.worst, NotificationStatus.FAILED), done.failed)
        return await self._try_next(done)

    async def _try_next(self, done: StepEnds) -> NotificationOutcome | None:
        """Unless a receipt says by now that the step arrived after all."""
        outcome = await self._settle(None, done.failed, step=done.step.number, beside=self._beside is not None)
        if outcome.status is NotificationStatus.PENDING:
            return None
        return outcome if self._beside is None else await self._finish(outcome.status)

    async def _seek(self, goal: Evidence, done: StepEnds) -> NotificationOutcome | None:
        """Wait for what the step is for. None: not in time, or it failed meanwhile."""
        if done.failed:
            await self._settle(None, done.failed, step=done.step.number, waits_for=goal)
        if await self._reached(goal, done):
            return await self._finish(NotificationStatus.FAILED)  # the rows know better by now
        if self._waits.cancel_requested:
            return await self._finish(NotificationStatus.CANCELED, reason="canceled")
        return None

    async def _reached(self, goal: Evidence, done: StepEnds) -> bool:
        # The rows' clock is another's, and may be ahead of this one.
        sent_at = min(done.sent_at or workflow.now(), workflow.now())
        deadline = goal_deadline(sent_at, done.step.within, self._start.expires_at)
        self._waits.show(options.WAITING)
        queued = deadline if deadline - workflow.now() > options.LONG_WAIT else None
        while True:
            over = deadline <= workflow.now() or self._waits.cancel_requested
            seen = self._waits.seen
            standing = await self._check(done.step, goal, over=over, queued=queued)
            if over or standing is not Standing.WAITING:
                return standing is Standing.REACHED
            await self._waits.for_goal(seen, f"until {goal}", deadline, queued=queued is not None)

    async def _check(self, step: StepPlan, goal: Evidence, *, over: bool, queued: datetime | None) -> Standing:
        asked = CheckInput(**self._key(), step=step.number, goal=goal, over=over, queued=queued)
        answer = await own_work(Settlement.check_step, asked, f"is step {step.number} {goal}?")
        return answer.standing

    async def _finish(
        self, verdict: NotificationStatus, ends: tuple[DeliveryEnd, ...] = (), reason: str | None = None
    ) -> NotificationOutcome:
        """Not before the channels that go out always are through as well."""
        if self._beside is not None:
            ends += (await self._beside).failed
        return await self._settle(verdict, ends, reason)

    async def _settle(
        self,
        verdict: NotificationStatus | None,
        ends: tuple[DeliveryEnd, ...] = (),
        reason: str | None = None,
        **step: Any,
    ) -> NotificationOutcome:
        given = SettleInput(**self._key(), ends=ends, verdict=verdict, reason=reason, **step)
        return await own_work(Settlement.settle, given, f"settle: {verdict}" if verdict else "settle the step")

    def _step(self, step: StepPlan, plan: Plan) -> Step:
        return Step(step, plan, self._rooms, key=self._key(), waits=self._waits, alone=plan.beside is None)

    def _told(self, outcome: NotificationOutcome) -> NotificationOutcome:
        """An unhappy end can be queried for; the workflow of a notification that failed or is in doubt fails."""
        if outcome.status not in ON_ITS_WAY:
            self._waits.show(outcome.status)
        if outcome.status is NotificationStatus.FAILED:
            raise ApplicationError(f"FAILED: {outcome.reason}", type="NotificationFailed", non_retryable=True)
        if outcome.status is NotificationStatus.IN_DOUBT and workflow.patched(SHOWN_ENDS):
            raise ApplicationError(f"IN_DOUBT: {outcome.reason}", type="NotificationInDoubt", non_retryable=True)
        return outcome

    def _key(self) -> dict[str, Any]:
        start = self._start
        return {"notification_id": start.notification_id, "tenant": start.tenant, "generation": start.generation}
