"""The windows of one type, person and key, one after the other, for as long as there are any. Its items are rows: here
is only the clock. Started by `dispatch/` with the first item of a window."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.digesting import Digesting
    from domain.clock_messages import CloseInput, DigestStart
    from workflows import options
    from workflows.own_work import own_work
    from workflows.renewal import is_long


@workflow.defn
class DigestWorkflow:
    @workflow.init
    def __init__(self, start: DigestStart) -> None:
        self._start = start
        self._told = 0

    @workflow.signal
    def opened(self) -> None:
        """Another window was opened while this one was closing."""
        self._told += 1

    @workflow.run
    async def run(self, start: DigestStart) -> None:
        workflow.upsert_search_attributes([options.STATUS.value_set(options.COLLECTING)])
        closes_at: datetime | None = start.closes_at
        seen = 0  # what is told before the first task counts
        while closes_at is not None:
            await self._until(closes_at, seen)
            seen, closes_at = await self._close()
            if closes_at is not None and is_long():
                workflow.continue_as_new(replace(start, closes_at=closes_at))

    async def _until(self, closes_at: datetime, seen: int) -> None:
        """Or until another window than those `seen` is opened, which may close earlier."""
        workflow.set_current_details(f"Collects until {closes_at:%Y-%m-%d %H:%M:%S} UTC")
        left = max(closes_at - workflow.now(), timedelta())
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._told > seen, timeout=left, timeout_summary="until the window closes"
            )

    async def _close(self) -> tuple[int, datetime | None]:
        """How many windows were told of when it was asked, and when the open one closes. Asked again if one was opened
        meanwhile: it may have been asked just before."""
        while True:
            seen = self._told
            given = CloseInput(tenant=self._start.tenant, group=self._start.group)
            standing = await own_work(Digesting.close_digest, given, "close the window, if it is due")
            if standing.closes_at is not None:
                # The clock that says "not yet" is another's, and may be behind this one.
                return seen, max(standing.closes_at, workflow.now() + options.A_MOMENT)
            if seen == self._told:
                return seen, None
