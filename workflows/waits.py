"""What a notification can wait for, and what wakes it. Signals set flags; what they mean, the rows say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from domain.carried import Carried
    from domain.statuses import DeliveryStatus, NotificationStatus
    from workflows import options
    from workflows.renewal import Renewal, is_long


class Waits:
    """`where` are the search attributes that say which step and channels a wait belongs to. `renewing`: the workflow
    goes on as a new run as soon as no call is under way. Any wait may raise Renewal."""

    def __init__(self, expires_at: datetime | None, carried: Carried) -> None:
        self.cancel_requested = carried.cancel_requested
        self.first_answers = dict(carried.first_answers)
        self.ours = dict(carried.ours)
        self.lost_since = dict(carried.lost_since)
        self.renewing = False
        self.calls = 0
        self.resumes = 0
        self.evidence = 0
        self.where: list[SearchAttributeUpdate[Any]] = []
        self._expires_at = expires_at

    @property
    def carried(self) -> Carried:
        return Carried(
            cancel_requested=self.cancel_requested,
            first_answers=self.first_answers,
            ours=self.ours,
            lost_since=self.lost_since,
        )

    @contextmanager
    def call(self) -> Iterator[None]:
        """An activity is under way, whose result must not be lost."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    def renew_if_long(self) -> None:
        """Raise Renewal if the workflow is to go on as a new run."""
        self.renewing = self.renewing or (is_long() and not self.cancel_requested)  # a cancel ends it soon
        if self.renewing:
            raise Renewal

    def show(self, status: str | NotificationStatus) -> None:
        """Only before a wait and at an unhappy end: the happy path costs nothing."""
        workflow.upsert_search_attributes([options.STATUS.value_set(status), *self.where])

    async def pause(self, delay: timedelta, summary: str, status: str) -> bool:
        """True after the delay, False as soon as a cancel was asked for."""
        self.show(status)
        return not await self._until(lambda: self.cancel_requested, delay, summary)

    async def for_turn(self, seen: int, summary: str, until: datetime | None = None) -> DeliveryStatus | None:
        """Wait until the queue resumes it after `seen` resumes, as it does at `until`. Return the end that came before.

        The timer for `until` is a fallback: with so many that are due at the same moment, the queue decides the order.
        """
        ends = [] if until is None else [until + options.QUEUE_FALLBACK]
        ends += [] if self._expires_at is None else [self._expires_at]
        # At least a moment: the clock that says "not yet" is another's, and may be behind this one.
        left = max(min(ends) - workflow.now(), options.A_MOMENT) if ends else None
        await self._until(lambda: self.cancel_requested or self.resumes > seen, left, summary)
        if self.cancel_requested:
            return DeliveryStatus.CANCELED
        worthless = self._expires_at is not None and self._expires_at <= workflow.now()
        return DeliveryStatus.EXPIRED if worthless else None

    @property
    def seen(self) -> tuple[int, int]:
        return self.evidence, self.resumes

    async def for_goal(self, seen: tuple[int, int], summary: str, deadline: datetime, *, queued: bool) -> None:
        """Until the rows have more to say than was `seen`, a cancel was asked for, or the deadline; with `queued` the
        queue says when that is."""
        limit = deadline - workflow.now() + (options.QUEUE_FALLBACK if queued else timedelta())
        await self._until(lambda: self.seen != seen or self.cancel_requested, limit, summary)

    async def for_evidence(self, seen: int, delay: timedelta, summary: str) -> bool:
        """True as soon as the rows have more to say than `seen` times."""
        return await self._until(lambda: self.evidence > seen, delay, summary)

    async def _until(self, condition: Callable[[], bool], limit: timedelta | None, summary: str) -> bool:
        if limit is not None and limit <= timedelta():
            return condition()
        if not condition():
            self.renew_if_long()
        try:
            await workflow.wait_condition(lambda: self.renewing or condition(), timeout=limit, timeout_summary=summary)
        except TimeoutError:
            return False
        if self.renewing and not condition():
            raise Renewal
        return True
