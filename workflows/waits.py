"""What a notification can wait for, and what wakes it. Signals set flags; what they mean, the rows say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from domain.statuses import DeliveryStatus, NotificationStatus
    from domain.workflow_runs import RunState
    from workflows import options
    from workflows.continuation import ContinueAsNew, is_history_long


class WorkflowWaits:
    """`where` are the search attributes that say which step and channels a wait belongs to. `renewing`: the workflow
    goes on as a new run as soon as no call is under way. Any wait may raise Renewal."""

    def __init__(self, expires_at: datetime | None, run_state: RunState) -> None:
        self.cancel_requested = run_state.cancel_requested
        self.first_response_times = dict(run_state.first_response_times)
        self.internal_failures = dict(run_state.internal_failures)
        self.unknown_since = dict(run_state.unknown_since)
        self.is_continuing = False
        self.calls_in_progress = 0
        self.resume_count = 0
        self.evidence_count = 0
        self.search_attributes: list[SearchAttributeUpdate[Any]] = []
        self._expires_at = expires_at

    @property
    def run_state(self) -> RunState:
        return RunState(
            cancel_requested=self.cancel_requested,
            first_response_times=self.first_response_times,
            internal_failures=self.internal_failures,
            unknown_since=self.unknown_since,
        )

    @contextmanager
    def call_in_progress(self) -> Iterator[None]:
        """An activity is under way, whose result must not be lost."""
        self.calls_in_progress += 1
        try:
            yield
        finally:
            self.calls_in_progress -= 1

    def continue_as_new_if_long(self) -> None:
        """Raise Renewal if the workflow is to go on as a new run."""
        self.is_continuing = self.is_continuing or (
            is_history_long() and not self.cancel_requested
        )  # a cancel ends it soon
        if self.is_continuing:
            raise ContinueAsNew

    def show_status(self, status: str | NotificationStatus) -> None:
        """Only before a wait and at an unhappy end: the happy path costs nothing."""
        workflow.upsert_search_attributes([options.STATUS.value_set(status), *self.search_attributes])

    async def wait_before_retry(self, delay: timedelta, summary: str, status: str) -> bool:
        """True after the delay, False as soon as a cancel was asked for."""
        self.show_status(status)
        return not await self._wait(lambda: self.cancel_requested, delay, summary)

    async def wait_for_resume(self, seen: int, summary: str, until: datetime | None = None) -> DeliveryStatus | None:
        """Wait until the queue resumes it after `seen` resumes, as it does at `until`. Return the end that came before.

        The timer for `until` is a fallback: with so many that are due at the same moment, the queue decides the order.
        """
        end_times = [] if until is None else [until + options.QUEUE_FALLBACK_DELAY]
        end_times += [] if self._expires_at is None else [self._expires_at]
        # At least a moment: the clock that says "not yet" is another's, and may be behind this one.
        remaining = max(min(end_times) - workflow.now(), options.MIN_WAIT) if end_times else None
        await self._wait(lambda: self.cancel_requested or self.resume_count > seen, remaining, summary)
        if self.cancel_requested:
            return DeliveryStatus.CANCELED
        is_expired = self._expires_at is not None and self._expires_at <= workflow.now()
        return DeliveryStatus.EXPIRED if is_expired else None

    @property
    def signal_counts(self) -> tuple[int, int]:
        return self.evidence_count, self.resume_count

    async def wait_for_goal(self, seen: tuple[int, int], summary: str, deadline: datetime, *, queued: bool) -> None:
        """Until the rows have more to say than was `seen`, a cancel was asked for, or the deadline; with `queued` the
        queue says when that is."""
        limit = deadline - workflow.now() + (options.QUEUE_FALLBACK_DELAY if queued else timedelta())
        await self._wait(lambda: self.signal_counts != seen or self.cancel_requested, limit, summary)

    async def wait_for_evidence(self, seen: int, delay: timedelta, summary: str) -> bool:
        """True as soon as the rows have more to say than `seen` times."""
        return await self._wait(lambda: self.evidence_count > seen, delay, summary)

    async def _wait(self, condition: Callable[[], bool], limit: timedelta | None, summary: str) -> bool:
        if limit is not None and limit <= timedelta():
            return condition()
        if not condition():
            self.continue_as_new_if_long()
        try:
            await workflow.wait_condition(
                lambda: self.is_continuing or condition(), timeout=limit, timeout_summary=summary
            )
        except TimeoutError:
            return False
        if self.is_continuing and not condition():
            raise ContinueAsNew
        return True
