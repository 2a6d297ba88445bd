"""Wait for signals, timers and deadlines of a notification. Signals set flags; the rows decide what they mean."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from domain.messages import RunState
    from domain.statuses import DeliveryStatus, NotificationStatus
    from workflows import options


class ContinueAsNew(Exception):
    """Signal that the pending wait or call belongs to the next run.

    A new run starts in the same way as after a lost workflow: it makes a new plan, and `deliver` returns the outcomes
    of earlier calls from the rows. RunState holds what no row contains.
    """


def is_history_long() -> bool:
    """Return whether the history is so long that the next wait belongs to a new run."""
    info = workflow.info()
    return info.get_current_history_length() > options.MAX_HISTORY_EVENTS or info.is_continue_as_new_suggested()


class WorkflowWaits:
    """Hold the wait state of a notification. `search_attributes` name the step and channels of a wait. With
    `is_continuing` the workflow continues as a new run once no call is in progress. Any wait may raise
    ContinueAsNew."""

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
        self._ended_calls: Counter[UUID | None] = Counter()

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
        """Count an activity in progress, whose result must not be lost."""
        self.calls_in_progress += 1
        try:
            yield
        finally:
            self.calls_in_progress -= 1

    def count_ended_call(self, delivery_id: UUID) -> None:
        """Count a call to a device of the delivery. It has removed the mark of a hold, which the devices share."""
        self._ended_calls[delivery_id] += 1

    def count_resumes(self, delivery_id: UUID | None = None) -> int:
        """Return how often the workflow was resumed. For a held device, each call to another device of its delivery
        counts too: the guard must mark the delivery again, or the queue would never release it."""
        return self.resume_count + self._ended_calls[delivery_id]

    def continue_as_new_if_long(self) -> None:
        """Raise ContinueAsNew if the history is too long."""
        self.is_continuing = self.is_continuing or (
            is_history_long() and not self.cancel_requested
        )  # A cancel ends the workflow soon.
        if self.is_continuing:
            raise ContinueAsNew

    def show_status(self, status: str | NotificationStatus) -> None:
        """Set the search attributes. Called only before a wait and at an unsuccessful end: an update costs an event,
        and a successful notification needs none."""
        workflow.upsert_search_attributes([options.STATUS.value_set(status), *self.search_attributes])

    async def wait_before_retry(self, delay: timedelta, summary: str, status: str) -> bool:
        """Return True after the delay, or False as soon as a cancel is requested."""
        self.show_status(status)
        return not await self._wait(lambda: self.cancel_requested, delay, summary)

    async def wait_for_resume(
        self, seen_resumes: int, summary: str, until: datetime | None = None, *, delivery_id: UUID | None = None
    ) -> DeliveryStatus | None:
        """Wait until the queue resumes the workflow, which it does at `until`. `seen_resumes` is the number of
        earlier resumes (`count_resumes`). Return the final status if a cancel or the expiry came first.

        The timer for `until` is a fallback: the queue decides the order of many notifications that are due at the
        same time.
        """
        end_times = [] if until is None else [until + options.QUEUE_FALLBACK_DELAY]
        end_times += [] if self._expires_at is None else [self._expires_at]
        # Wait at least MIN_WAIT: the database clock returned "not yet" and may be behind this clock.
        remaining = max(min(end_times) - workflow.now(), options.MIN_WAIT) if end_times else None
        await self._wait(
            lambda: self.cancel_requested or self.count_resumes(delivery_id) > seen_resumes, remaining, summary
        )
        if self.cancel_requested:
            return DeliveryStatus.CANCELED
        is_expired = self._expires_at is not None and self._expires_at <= workflow.now()
        return DeliveryStatus.EXPIRED if is_expired else None

    @property
    def signal_counts(self) -> tuple[int, int]:
        return self.evidence_count, self.resume_count

    async def wait_for_goal(
        self, seen_signals: tuple[int, int], summary: str, deadline: datetime, *, queued: bool
    ) -> None:
        """Wait until a signal arrives after `seen_signals`, a cancel is requested or the deadline passes. With `queued`
        the queue signals the deadline."""
        limit = deadline - workflow.now() + (options.QUEUE_FALLBACK_DELAY if queued else timedelta())
        await self._wait(lambda: self.signal_counts != seen_signals or self.cancel_requested, limit, summary)

    async def wait_for_evidence(self, seen_evidence: int, delay: timedelta, summary: str) -> bool:
        """Return True as soon as an evidence signal arrives after the first `seen_evidence` ones, or False after the
        delay."""
        return await self._wait(lambda: self.evidence_count > seen_evidence, delay, summary)

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
